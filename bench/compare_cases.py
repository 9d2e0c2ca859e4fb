"""The table of changes that `lictor compare` is calibrated on, and the class each must get."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import compare_changes as do
from bench.compare_changes import Bench, Changed

# What a case may be called besides its own class without being wrong.
_LINEAR = ("dense_finetune",)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of change at one strength; `bar` marks ablation of at least half strength."""

    kind: str
    strength: str
    accepted: tuple[str, ...]
    make: Callable[[Bench], Changed]
    bar: bool = False

    @property
    def is_ablation(self) -> bool:
        return self.accepted == ("directional_ablation",)


def _honest() -> list[Case]:
    cases = [
        Case("identical", "-", ("identical",), lambda b: Changed(dict(b.base))),
        *(Case("recast", t, ("recast",), lambda b, t=t: do.cast(b, t)) for t in ("F16", "F32")),
        Case("quantised", "int8 rows", ("quantized",), lambda b: do.quantise(b, 8, 0)),
        Case("quantised", "int8 file", ("quantized",), do.int8_file),
        Case("quantised", "int4 of 64", ("quantized",), lambda b: do.quantise(b, 4, 64)),
        Case("quantised", "int4 of 128", ("quantized",), lambda b: do.quantise(b, 4, 128)),
    ]
    for rank in (1, 4, 16, 64):
        for size in (0.005, 0.02, 0.1):
            cases.append(
                Case(
                    "adapter",
                    f"r{rank}, {size:g}",
                    ("adapter_merge",),
                    lambda b, r=rank, s=size: do.adapter(b, r, s),
                )
            )
    for name, make, sizes in (
        ("fine-tune, noise", do.finetune, (0.0005, 0.003, 0.02, 0.1, 0.3)),
        ("fine-tune, gradients", do.gradient_finetune, (0.003, 0.02, 0.1, 0.3)),
        ("fine-tune, growth", do.growth, (0.03, 0.1)),
        ("fine-tune, decay", do.decay, (0.01, 0.05)),
    ):
        for size in sizes:
            cases.append(
                Case(name, f"{size:g}", ("dense_finetune",), lambda b, m=make, s=size: m(b, s))
            )
    for size in (0.01, 0.05):
        cases.append(
            Case(
                "adapter, one output",
                f"{size:g}",
                ("adapter_merge",),
                lambda b, s=size: do.shared_adapter(b, s),
            )
        )
    return cases


def _merges() -> list[Case]:
    return [
        Case("merge, linear", "0.5", ("merge", *_LINEAR), lambda b: do.linear_merge(b, 0.5)),
        Case("merge, foreign", "0.3", ("merge", *_LINEAR), lambda b: do.foreign_merge(b, 0.3)),
        Case("merge, DARE", "0.5", ("merge",), lambda b: do.dare(b, 0.5)),
        Case("merge, DARE", "0.9", ("merge",), lambda b: do.dare(b, 0.9)),
        Case("merge, stacked", "-", ("merge",), do.stack_layers),
        Case("pruned", "0.3", ("pruned",), lambda b: do.prune(b, 0.3)),
        Case("pruned", "0.5", ("pruned",), lambda b: do.prune(b, 0.5)),
        Case("pruned", "2 layers", ("pruned",), lambda b: do.drop_layers(b, 2)),
        Case("vocabulary", "+16", ("resized_vocabulary",), lambda b: do.resize(b, 16)),
        Case("vocabulary", "-16", ("resized_vocabulary",), lambda b: do.resize(b, -16)),
        Case(
            "tuned, then int8",
            "0.01",
            ("quantized", *_LINEAR),
            lambda b: do.tuned_and_quantised(b, 0.01),
        ),
        Case(
            "tuned, then int8",
            "0.1",
            ("quantized", *_LINEAR),
            lambda b: do.tuned_and_quantised(b, 0.1),
        ),
        Case("unrelated", "-", ("unrelated",), do.unrelated),
    ]


def _ablations() -> list[Case]:
    plain: dict[str, Callable[[Bench, float], Changed]] = {
        "ablation": do.ablate,
        "ablation, embeddings too": lambda b, s: do.ablate(b, s, embeddings=True),
        "ablation, third of layers": do.ablate_some,
        "ablation, other each layer": do.ablate_each,
        "ablation, kernel": do.ablate_kernel,
        "ablation, columns kept": do.ablate_keeping_columns,
        "ablation, rows kept, rank 3": do.ablate_keeping_rows,
        "ablation, four directions": do.ablate_four,
        "ablation, rotation": do.rotate,
        "ablation, reading side": do.ablate_reading,
        "ablation, int8 file": do.ablate_int8_file,
    }
    after = {
        "+ noise 1 %": do.with_noise(0.01),
        "+ noise 10 %": do.with_noise(0.1),
        "+ adapter r16 2 %": do.with_adapter(16, 0.02),
        "+ int8": do.with_grid(8, 0),
        "+ int4 of 128": do.with_grid(4, 128),
    }
    makers = plain | {
        f"ablation {label}": lambda b, s, f=change: do.ablate_then(b, s, f)
        for label, change in after.items()
    }
    return [
        Case(kind, f"{s:g}", ("directional_ablation",), lambda b, m=make, s=s: m(b, s), s >= 0.5)
        for kind, make in makers.items()
        for s in (0.25, 0.5, 0.75, 1.0)
    ]


CASES = (*_honest(), *_merges(), *_ablations())
