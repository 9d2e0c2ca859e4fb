"""Compare with the licence tools that others use, on the same inputs, in one run.

    sh scripts/licence-peers.sh
    LICTOR_LICENCE_TEXTS=folder python -m bench.licence_peers

Two tables. The first gives each tool what a model's page says of itself and asks which licences
bind; the second gives ScanCode and Lictor the same texts, some of them altered, and asks what the
text is. What is right was decided by reading the licences; each row says why.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click

from bench.machine import describe_machine
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts, LicenceText, ModelFacts, ParentLink, Use
from compliance.rules.identify import identify_text
from compliance.rules.library import Library, bundled_library

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
WORKER = Path(__file__).with_name("licence_peers_worker.py")
AS_OF = date(2026, 11, 23)


@dataclass(frozen=True)
class Page:
    """What a model's page declares; `needs` must each be in a right answer, `bars` must not."""

    model: str
    declared: str
    needs: tuple[str, ...]
    bars: tuple[str, ...]
    why: str
    base: tuple[str, str] | None = None
    name: bool = False


PAGES = (
    Page("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "nvidia-open-model-license", ("nvidia.open.model",),
         (), "the card names the NVIDIA Open Model License", name=True),
    Page("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B", "nvidia-nemotron-open-model-license",
         ("nemotron.open",), ("llama",), "the Nemotron Open Model License", name=True),
    Page("mistralai/Mistral-Large-Instruct-2411", "mrl", ("mrl|mistral.research",), ("apache",),
         "the Mistral Research License allows research only", name=True),
    Page("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "mit", ("llama",), (),
         "made from Llama 3.1, which goes on binding", ("meta-llama/Llama-3.1-8B", "llama3.1")),
    Page("unsloth/DeepSeek-R1-Distill-Llama-8B-GGUF", "mit", ("llama",), (),
         "the same under another publisher's name", ("meta-llama/Llama-3.1-8B", "llama3.1")),
    Page("acme/our-assistant-8b", "apache-2.0", ("llama",), (),
         "a fine-tune relabelled as Apache-2.0", ("meta-llama/Llama-3.1-8B", "llama3.1")),
    Page("Qwen/Qwen2.5-7B-Instruct", "apache-2.0", ("apache",), ("qwen",),
         "this size is Apache-2.0; the family's name is no licence"),
    Page("Qwen/Qwen2.5-72B-Instruct", "qwen", ("qwen",), ("apache",),
         "the Qwen License Agreement, with its limit on users", name=True),
    Page("deepseek-ai/DeepSeek-V3-0324", "mit", ("mit",), ("deepseek",), "MIT since this release"),
    Page("google/gemma-4-E4B-it", "apache-2.0", ("apache",), ("gemma",),
         "Gemma 4 declares Apache-2.0"),
    Page("google/gemma-2-9b-it", "gemma", ("gemma",), (), "the Gemma Terms of Use"),
    Page("meta-llama/Llama-3.3-70B-Instruct", "llama3.3", ("llama",), ("llamav2",),
         "the Llama 3.3 licence, not Llama 2's"),
    Page("meta-llama/Llama-4-Scout-17B-16E", "llama4", ("llama",), ("llamav2",),
         "the Llama 4 licence"),
    Page("stabilityai/stable-diffusion-3.5-large", "stabilityai-ai-community",
         ("stabilit.*communit",), ("rail",), "the Stability Community License", name=True),
    Page("microsoft/phi-4", "mit", ("mit",), (), "MIT"),
    Page("mistralai/Mistral-7B-v0.3", "apache-2.0", ("apache",), (), "Apache-2.0"),
)  # fmt: skip


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), default=Path("bench/results"))
def main(out: Path) -> None:
    """Run both tables."""
    if not PYTHON.is_file():
        raise click.ClickException("no .venv-peers: sh scripts/licence-peers.sh makes it (800 MB)")
    library = bundled_library()
    with tempfile.TemporaryDirectory() as folder:
        texts = _texts(Path(folder))
        asked = {
            "pages": [{"model": one.model, "declared": one.declared} for one in PAGES],
            "texts": [str(path) for path, *_ in texts],
        }
        peers = _ask_peers(asked)
        result = {
            "what": "which licence is it: Lictor beside weight-audit, ai-bom and ScanCode",
            "machine": describe_machine(),
            "versions": peers["versions"],
            "pages": [_page_row(one, peers, library) for one in PAGES],
            "texts": [_text_row(row, peers, library) for row in texts],
            "scancode_load_seconds": peers["load_seconds"],
            "scancode_peak_mib": peers["peak_mib"],
        }
    out.mkdir(parents=True, exist_ok=True)
    (out / "licence-peers.json").write_text(json.dumps(result, indent=2) + "\n")
    click.echo(_tables(result))


def _ask_peers(asked: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [str(PYTHON), str(WORKER)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=540,
    )
    if done.returncode:
        raise click.ClickException(f"the peers failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _page_row(page: Page, peers: dict[str, Any], library: Library) -> dict[str, Any]:
    answers = {**peers["pages"][page.model], "lictor": _ours(page, library)}
    return {
        "model": page.model,
        "declared": page.declared,
        "made_from": page.base[0] if page.base else None,
        "why": page.why,
        "answers": answers,
        "right": {tool: _is_right(page, answer) for tool, answer in answers.items()},
    }


def _ours(page: Page, library: Library) -> str:
    links = (ParentLink(id=page.base[0]),) if page.base else ()
    subject = ModelFacts(
        id=page.model,
        license="other" if page.name else page.declared,
        license_name=page.declared if page.name else None,
        parents=links,
    )
    models = [subject]
    if page.base:
        models.append(ModelFacts(id=page.base[0], license=page.base[1]))
    use = Use(purposes=("hosted_service",), commercial=True, monthly_active_users=20_000)
    facts = Facts(models=tuple(models), subject=page.model, as_of=AS_OF, use=use)
    judged = evaluate(facts, library)
    bound = ", ".join(sorted({one.licence for one in judged.binding_licences})) or "unknown"
    return f"{bound}: {judged.decision}"


def _is_right(page: Page, answer: str) -> bool:
    found = answer.casefold()
    needed = all(re.search(pattern, found) for pattern in page.needs)
    return needed and not any(re.search(pattern, found) for pattern in page.bars)


Row = tuple[Path, str, str | None, str]


def _texts(folder: Path) -> list[Row]:
    """Write the texts to compare: (file, name of the case, right key or None, right outcome)."""
    home = os.environ.get("LICTOR_LICENCE_TEXTS")
    if not home or not Path(home).is_dir():
        click.echo("texts NOT COMPARED: LICTOR_LICENCE_TEXTS names no folder", err=True)
        return []
    rows: list[Row] = []

    def add(case: str, text: str, key: str | None, outcome: str) -> None:
        path = folder / f"{len(rows):02d}.txt"
        path.write_text(text)
        rows.append((path, case, key, outcome))

    def read(name: str) -> str:
        return (Path(home) / f"{name}.txt").read_text()

    for key, name in _PLAIN:
        add(f"{key}, as published", read(name), key, "exact")
    april = read("nvidia-open-model-2025-04-28")
    for case, old, new in _EDITS:
        edited = re.sub(old, new, april, count=1)
        if edited == april:
            raise click.ClickException(f"the edit '{case}' found nothing to change")
        add(case, edited, "nvidia-open-model-2025-04-28", "near")
    add("a counterfeit under NVIDIA's title", _COUNTERFEIT, None, "unknown")
    return rows


_PLAIN = (
    ("nvidia-open-model-2024-06-14", "nvidia-open-model-2024-06-14"),
    ("nvidia-open-model-2025-04-28", "nvidia-open-model-2025-04-28"),
    ("nvidia-open-model-2025-10-24", "nvidia-open-model-2025-10-24"),
    ("nvidia-nemotron-open-model-2025-12-15", "nvidia-nemotron-open-model-2025-12-15"),
    ("nvidia-source-code-license", "nvidia-source-code-license"),
    ("apache-2.0", "apache-2.0"),
    ("llama-3", "llama-3-2024"),
    ("llama-3.1", "llama-3.1-license-2024"),
    ("llama-4", "llama-4-cla-2025"),
    ("openmdw-1.1", "openmdw-1.1"),
)
_EDITS = (
    ("April 2025, three words of the guardrail clause replaced",
     r"bypass,\s+disable,\s+reduce\s+the\s+efficacy\s+of",
     "document, report, reduce the latency of"),
    ("April 2025, the guardrail clause negated",
     r"(this\s+Agreement\s+will)\s+(automatically\s+terminate)", r"\1 not \2"),
    ("April 2025, patent litigation left out", r"copyright\s+or\s+patent\s+litigation",
     "copyright litigation"),
)  # fmt: skip
_COUNTERFEIT = """NVIDIA Open Model License Agreement - Version 1.0

1. Grant. NVIDIA gives you a non-transferable licence to use the model as you please.
2. Conduct. You follow the policy that is published on the company's site from time to time.
3. Ending. This licence ends when NVIDIA says so in writing.
"""


def _text_row(row: Row, peers: dict[str, Any], library: Library) -> dict[str, Any]:
    path, case, key, outcome = row
    text = path.read_text()
    began = time.perf_counter()
    match = identify_text(LicenceText(path="LICENSE", text=text), library)
    seconds = time.perf_counter() - began
    ours = f"{match.licence.key if match.licence else 'unknown'} ({match.outcome})"
    scan = peers["texts"][str(path)]
    theirs = ", ".join(f"{one['key']} {one['score']}" for one in scan["found"]) or "nothing"
    return {
        "case": case,
        "right": f"{key or 'unknown'} ({outcome})",
        "lictor": ours,
        "lictor_ms": round(seconds * 1e3, 1),
        "lictor_right": match.outcome == outcome
        and (match.licence.key if match.licence else None) == key,
        "scancode": theirs,
        "scancode_ms": round(scan["seconds"] * 1e3, 1),
        "scancode_right": _scancode_right(scan["found"], key, outcome),
    }


def _scancode_right(found: list[dict[str, Any]], key: str | None, outcome: str) -> bool:
    """Credit ScanCode for the right text at 100, and for doubt about a text that was altered."""
    keys = {one["key"] for one in found}
    if outcome == "exact":
        # Its keys carry years that ours do not.
        return len(keys) == 1 and _same(next(iter(keys)), str(key)) and found[0]["score"] == 100
    if outcome == "near":
        return not any(one["score"] > 99 for one in found)
    return not keys or all("unknown" in one for one in keys)


_TWINS = {
    "llama-3.1-license-2024": "llama-3.1",
    "llama-4-cla-2025": "llama-4",
    "nvidia-open-model-2025": "nvidia-open-model-2025-10-24",
}


def _same(theirs: str, ours: str) -> bool:
    return _TWINS.get(theirs, theirs) == ours


def _tables(result: dict[str, Any]) -> str:
    tools = ("weight-audit", "ai-bom", "lictor")
    lines = ["| model | declared | " + " | ".join(tools) + " | why |", "|---|---|---|---|---|---|"]
    for row in result["pages"]:
        cells = [f"{row['answers'][tool]} {_mark(row['right'][tool])}" for tool in tools]
        lines.append(f"| {row['model']} | {row['declared']} | {' | '.join(cells)} | {row['why']} |")
    score = [f"{sum(row['right'][t] for row in result['pages'])} of {len(PAGES)}" for t in tools]
    lines += [f"| right | | {' | '.join(score)} | |", ""]
    lines += ["| text | right | ScanCode | ms | Lictor | ms |", "|---|---|---|---|---|---|"]
    for row in result["texts"]:
        lines.append(
            f"| {row['case']} | {row['right']} | {row['scancode']} {_mark(row['scancode_right'])} "
            f"| {row['scancode_ms']} | {row['lictor']} {_mark(row['lictor_right'])} "
            f"| {row['lictor_ms']} |"
        )
    return "\n".join(lines)


def _mark(right: bool) -> str:
    return "(right)" if right else "(wrong)"


if __name__ == "__main__":
    sys.exit(main())
