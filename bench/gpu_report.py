"""Write a result of the GPU benchmark as Markdown, and the ratios in it; pure."""

from collections.abc import Iterator, Sequence
from typing import Any


def ratios(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Divide the hybrid's throughput by the transformer's, scenario by scenario, where both ran."""
    found = []
    for hybrid in points:
        for other in points:
            same = hybrid["scenario"] == other["scenario"]
            if same and hybrid["kind"] == "nemotron_h" and other["kind"] != "nemotron_h":
                found.append(
                    {
                        "scenario": hybrid["scenario"],
                        "batches": [hybrid["batch"], other["batch"]],
                        "decode": _divide(hybrid, other, "decode_tokens_per_second"),
                        "whole": _divide(hybrid, other, "whole_tokens_per_second"),
                    }
                )
    return found


def _divide(one: dict[str, Any], other: dict[str, Any], key: str) -> float:
    return float(one[key]) / float(other[key])


def markdown(result: dict[str, Any]) -> str:
    """Write the tables: points, parts of a step, ratios, the derived A10G bound, gaps."""
    sections = (_heading, _points, _parts, _ratios, _derived, _skipped)
    return "\n".join(line for section in sections for line in section(result)) + "\n"


def _heading(result: dict[str, Any]) -> Iterator[str]:
    run, machine = result["run"], result["machine"]
    if result["kind"] != "gpu":
        yield "# Rehearsal of the GPU benchmark: tiny shapes, NOT a result of any GPU"
    else:
        yield f"# GPU benchmark, {run['at'][:10]}: {machine['gpu']}"
    yield ""
    yield (
        f"Memory capped at {result['memory_cap_bytes'] / 2**30:.2f} GiB; {result['dtype']}, random "
        f"weights; roofline at {result['bandwidth'] / 1e9:.0f} GB/s; {result['seconds']:.0f} s."
    )
    yield (
        f"Shortened: at each of five context lengths of a decode, the median of {result['steps']} "
        "steps; between them straight lines."
    )
    yield _how(result["points"])
    yield ""
    yield f"Commit {run['commit'][:12]}{' with changes' if run['changed'] else ''}. "
    yield f"`{run['command']}`"


def _how(points: Sequence[dict[str, Any]]) -> str:
    """Say what of the engine ran: it uses graphs and kernels where it can, and may not have."""
    graphed = [one for point in points for one in point["graphed"]]
    mamba = [point["mamba_ssm"] for point in points if point["kind"] == "nemotron_h"]
    return (
        f"CUDA graphs: {sum(graphed)} of {len(graphed)} decode steps, padded as the engine pads "
        f"them. mamba-ssm's kernels: {sum(mamba)} of {len(mamba)} hybrid points. Parts of a step "
        "are always timed without a graph."
    )


def _points(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield (
        "| model | scenario | batch (planned) | decode tok/s | with prefill tok/s | ms per step "
        "| of the roofline | peak GiB |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for one in result["points"]:
        peak = "" if one["peak_bytes"] is None else f"{one['peak_bytes'] / 2**30:.2f}"
        yield (
            f"| {one['model']} | {one['scenario']} | {one['batch']} ({one['batch_planned']}) "
            f"| **{one['decode_tokens_per_second']:.0f}** | {one['whole_tokens_per_second']:.0f} "
            f"| {min(one['step_ms']):.1f} to {max(one['step_ms']):.1f} "
            f"| {one['roofline_share']:.0%} | {peak} |"
        )


def _parts(result: dict[str, Any]) -> Iterator[str]:
    names = ("mamba", "attention", "mlp", "head", "rest")
    yield ""
    yield f"| ms of one step | at context | {' | '.join(names)} |"
    yield "|---|---|" + "---|" * len(names)
    for one in result["points"]:
        cells = " | ".join(f"{one['parts_ms'].get(name, 0.0):.2f}" for name in names)
        yield f"| {one['model']}, {one['scenario']} | {one['parts_ms_at']} | {cells} |"


def _ratios(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    if not result["ratios"]:
        yield "No ratio: hybrid and transformer did not both run in any scenario."
    for one in result["ratios"]:
        first, second = one["batches"]
        yield (
            f"* {one['scenario']}: hybrid at batch {first} is **{one['decode']:.2f}** times the "
            f"transformer at batch {second} in decode, {one['whole']:.2f} with prefill."
        )


def _derived(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    if result["kind"] != "gpu":
        return
    yield "A10G, derived from bytes and 600 GB/s, an upper bound; not measured:"
    yield ""
    for one in result["points"]:
        bound = one["a10g_derived"]
        fits = "fits" if bound["fits"] else "would not fit by the plan"
        yield (
            f"* {one['model']}, {one['scenario']}: batch {bound['batch']} ({fits}), at context "
            f"{bound['context']}: at most {bound['tokens_per_second_at_most']:.0f} tok/s."
        )


def _skipped(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    for reason in result["skipped"]:
        yield f"* Skipped: {reason}"
