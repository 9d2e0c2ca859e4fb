"""`lictor plan`: does this model fit this GPU, and with what context and batch?"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.output import gib, print_json, print_rows

if TYPE_CHECKING:
    from registry.artifact.memory_plan import MemoryPlan


@click.command()
@click.argument("config", metavar="CONFIG.json", type=click.Path(path_type=Path))
@click.option("--gpu", required=True, help="GPU by name: a10g, l4, a100-40, a100-80, h100, h200.")
@click.option("--context", type=int, help="Tokens for each sequence; the model's most if absent.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences at once.")
@click.option("--dtype", default="bf16", show_default=True, help="bf16, fp16, fp32 or int8.")
@click.option("--util", type=float, default=0.95, show_default=True, help="Share of memory used.")
@click.option(
    "--reserve",
    default=0.8,
    show_default=True,
    callback=lambda *given: _whole_bytes(given[-1]),
    help="GiB set aside for activations and workspace.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(
    config: Path,
    gpu: str,
    context: int | None,
    batch: int,
    dtype: str,
    util: float,
    reserve: int,
    as_json: bool,
) -> None:
    """Plan a model's memory on one GPU, exactly. Exit 0 when it fits, 1 when it does not.

    \b
    Example:  lictor plan config.json --gpu a10g --context 8192 --batch 8
    """
    from registry.artifact.card import MAX_CONFIG_BYTES
    from registry.artifact.gpus import gpu_named
    from registry.artifact.memory_plan import plan as make_plan
    from registry.artifact.strict_json import read_json_object

    document = read_json_object(config, max_bytes=MAX_CONFIG_BYTES)
    made = make_plan(
        document,
        gpu_named(gpu),
        context=context,
        batch=batch,
        dtype=dtype,
        utilisation=util,
        reserve_bytes=reserve,
    )
    if as_json:
        print_json(made.to_json())
    else:
        _print_plan(made)
    raise SystemExit(0 if made.fits else 1)


def _whole_bytes(amount_gib: float) -> int:
    if not 0 <= amount_gib < math.inf:
        raise click.BadParameter(f"{amount_gib} is not a number of GiB from 0 on.")
    return int(amount_gib * 2**30)


def _print_plan(made: "MemoryPlan") -> None:
    verdict = "fits" if made.fits else "does NOT fit"
    print_rows(
        [
            ("model", f"{made.model_type}, {made.parameters:,} parameters in {made.dtype}"),
            ("GPU", f"{made.gpu.name}, usable {gib(made.gpu.usable_bytes)}"),
            ("weights", gib(made.weights_bytes)),
            ("KV cache", f"{made.kv_bytes_per_token:,} B for each token"),
            ("state", f"{made.state_bytes_per_sequence:,} B for each sequence"),
            ("needed", gib(made.needed_bytes)),
            ("budget", gib(made.budget_bytes)),
            ("verdict", f"{verdict}: context {made.context:,}, batch {made.batch}"),
            ("longest", f"{made.max_context_at_batch_1:,} tokens at batch 1"),
            ("most", f"{made.max_batch_at_context} sequences at context {made.context:,}"),
            ("decode", f"at best {made.decode_seconds_per_step * 1e3:.1f} ms a step"),
        ]
    )
    click.echo("Assumptions:")
    for assumption in made.assumptions:
        click.echo(f"  - {assumption}")
