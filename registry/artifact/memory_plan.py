"""Plan a model's memory on one GPU: weights, KV cache, recurrent state; fits or not.

Counts are exact for the shapes in `model_shape`; what is set aside for activations, the CUDA
context and fragmentation is an assumption, and every assumption is listed in the plan. The
deployer's preflight and the runtime's admission control both ask this module.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from registry.artifact.gpus import GIB, Gpu
from registry.artifact.model_shape import ModelShape, shape_of
from registry.errors import BadInput

DTYPE_BYTES: Final[dict[str, int]] = {"bf16": 2, "fp16": 2, "fp32": 4, "int8": 1}
SCALE_BYTES: Final = 2
RECURRENCE_BYTES: Final = 4
DEFAULT_UTILISATION: Final = 0.95
DEFAULT_RESERVE_BYTES: Final = int(0.8 * GIB)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Hold one plan; sizes are in bytes, contexts in tokens, batches in sequences.

    Law: `fits` is exactly `needed_bytes <= budget_bytes` and `context <= max_context`.
    """

    model_type: str
    dtype: str
    parameters: int
    weights_bytes: int
    kv_bytes_per_token: int
    state_bytes_per_sequence: int
    reserve_bytes: int
    context: int
    batch: int
    needed_bytes: int
    budget_bytes: int
    fits: bool
    max_context: int
    max_context_at_batch_1: int
    max_batch_at_context: int
    streamed_bytes_per_step: int
    decode_seconds_per_step: float
    gpu: Gpu
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the plain form that `lictor plan --json` prints."""
        return {**asdict(self), "assumptions": list(self.assumptions)}


@dataclass(frozen=True, slots=True)
class SequenceCost:
    """Price one sequence: `state_bytes` once, `kv_bytes_per_token` for each token.

    `streamed_bytes` are the weights that every decode step reads.
    """

    weights_bytes: int
    streamed_bytes: int
    kv_bytes_per_token: int
    state_bytes: int

    def sequence_bytes(self, context: int) -> int:
        return self.state_bytes + context * self.kv_bytes_per_token


def cost_of(shape: ModelShape, *, dtype: str = "bf16") -> SequenceCost:
    """Price a model's weights and one sequence for a weight dtype.

    The SSM state is kept in fp32 because the publisher warns of lost accuracy otherwise; KV and
    the convolution's columns are in the activations' dtype, which is bf16 unless weights are fp32.
    int8 is what `inference.layers.quantised` allocates: the linear layers' weights in one byte
    with a bf16 scale for each output, the recurrence in fp32, everything else in bf16.

    Raises: BadInput (code dtype_unknown).
    """
    if dtype not in DTYPE_BYTES:
        raise BadInput(
            f"dtype {dtype!r} is not known.",
            code="dtype_unknown",
            place="dtype",
            remedy=f"Choose one of {', '.join(DTYPE_BYTES)}.",
        )
    activation_bytes = max(2, DTYPE_BYTES[dtype])
    weights_bytes = shape.parameters * DTYPE_BYTES[dtype]
    if dtype == "int8":
        plain = shape.parameters - shape.linear_parameters - shape.recurrence_parameters
        weights_bytes = (
            shape.linear_parameters
            + shape.linear_channels * SCALE_BYTES
            + shape.recurrence_parameters * RECURRENCE_BYTES
            + plain * activation_bytes
        )
    # int8 leaves the embedding as it is; only fp32 makes it wider.
    looked_up = shape.embedding_parameters * activation_bytes
    return SequenceCost(
        weights_bytes=weights_bytes,
        streamed_bytes=weights_bytes - looked_up,
        kv_bytes_per_token=shape.kv_elements_per_token * activation_bytes,
        state_bytes=shape.ssm_elements * 4 + shape.conv_elements * activation_bytes,
    )


def plan(
    config: Mapping[str, Any],
    gpu: Gpu,
    *,
    context: int | None = None,
    batch: int = 1,
    dtype: str = "bf16",
    utilisation: float = DEFAULT_UTILISATION,
    reserve_bytes: int = DEFAULT_RESERVE_BYTES,
) -> MemoryPlan:
    """Plan one model on one GPU; without `context`, for the longest that the model has.

    Raises: BadInput for a config, dtype or number that cannot be used.
    """
    shape = shape_of(config)
    cost = cost_of(shape, dtype=dtype)
    context = shape.max_context if context is None else context
    _check_numbers(context, batch, utilisation, reserve_bytes)
    budget = int(gpu.usable_bytes * utilisation)
    free = budget - reserve_bytes - cost.weights_bytes
    needed = cost.weights_bytes + reserve_bytes + batch * cost.sequence_bytes(context)
    step_bytes = cost.streamed_bytes + batch * (
        2 * cost.state_bytes + context * cost.kv_bytes_per_token
    )
    return MemoryPlan(
        model_type=shape.model_type,
        dtype=dtype,
        parameters=shape.parameters,
        weights_bytes=cost.weights_bytes,
        kv_bytes_per_token=cost.kv_bytes_per_token,
        state_bytes_per_sequence=cost.state_bytes,
        reserve_bytes=reserve_bytes,
        context=context,
        batch=batch,
        needed_bytes=needed,
        budget_bytes=budget,
        fits=needed <= budget and context <= shape.max_context,
        max_context=shape.max_context,
        max_context_at_batch_1=_longest_context(cost, free, shape.max_context),
        max_batch_at_context=0
        if context > shape.max_context
        else max(0, free // max(1, cost.sequence_bytes(context))),
        streamed_bytes_per_step=cost.streamed_bytes,
        decode_seconds_per_step=step_bytes / gpu.bandwidth,
        gpu=gpu,
        assumptions=(
            *_assumptions(dtype, utilisation, reserve_bytes),
            *_weight_assumptions(shape, dtype),
            *shape.assumptions,
        ),
    )


def _longest_context(cost: SequenceCost, free_bytes: int, max_context: int) -> int:
    if free_bytes < cost.sequence_bytes(1):
        return 0
    if not cost.kv_bytes_per_token:
        return max_context
    return min(max_context, (free_bytes - cost.state_bytes) // cost.kv_bytes_per_token)


def _check_numbers(context: int, batch: int, utilisation: float, reserve_bytes: int) -> None:
    for name, value in (("context", context), ("batch", batch)):
        if value < 1:
            raise _invalid(name, f"{name} must be at least 1, not {value}.")
    if not 0 < utilisation <= 1:
        raise _invalid("util", f"util must be above 0 and at most 1, not {utilisation}.")
    if reserve_bytes < 0:
        raise _invalid("reserve", "the reserve cannot be negative.")


def _assumptions(dtype: str, utilisation: float, reserve_bytes: int) -> list[str]:
    return [
        f"{utilisation:.0%} of the usable memory is given to the runtime.",
        f"{reserve_bytes / GIB:.2f} GiB is set aside for activations and workspace.",
        "Every sequence may grow to the full context; memory is one GPU's, without offloading.",
        "The SSM state is kept in fp32; KV cache and convolution state in "
        f"{'fp32' if dtype == 'fp32' else 'bf16'}.",
        "Decode time is the memory-bandwidth bound: no implementation is faster.",
    ]


def _weight_assumptions(shape: ModelShape, dtype: str) -> list[str]:
    if dtype == "int8":
        return [
            "int8 is for the linear layers' weights, with a bf16 scale for each output; embeddings"
            ", norms and convolutions stay in bf16, A_log, D and dt_bias in fp32."
        ]
    more = shape.recurrence_parameters * (RECURRENCE_BYTES - DTYPE_BYTES[dtype])
    if not more:
        return []
    return [
        f"Weights are counted as the files hold them; the native engine keeps A_log, D and "
        f"dt_bias in fp32, {more:,} B more."
    ]


def _invalid(place: str, message: str) -> BadInput:
    return BadInput(message, code="plan_invalid", place=place)
