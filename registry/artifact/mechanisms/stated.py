"""Find what a model card states: sections on safety, evaluations, gates, telling names."""

import re
from collections.abc import Iterator
from typing import Any, Final

from registry.artifact.front_matter import front_matter
from registry.artifact.mechanisms.files import Files
from registry.artifact.mechanisms.shapes import Mechanism, excerpt, fingerprint
from registry.artifact.mechanisms.words import SECTION, is_about_safety, says_removed
from registry.errors import BadInput

_HEADING: Final = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$", re.MULTILINE)


def stated_mechanisms(files: Files) -> Iterator[Mechanism]:
    """Yield what is stated. A statement is no measurement, and its loss is no removal."""
    if "README.md" not in files.paths or (card := files.text("README.md")) is None:
        return
    try:
        matter = front_matter(card)
    except BadInput as error:
        files.fault("README.md", error.detail)
        matter = {}
    yield from _sections(card)
    yield from _evaluations(matter)
    yield from _gates(matter)
    yield from _telling_names(card, matter)


def _sections(card: str) -> Iterator[Mechanism]:
    found = list(_HEADING.finditer(card))
    for at, heading in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(card)
        body = card[heading.end() : end].strip()
        if not SECTION.search(heading.group(2)) or not body:
            continue
        yield Mechanism(
            kind="card_section",
            name=heading.group(2),
            place=f"README.md#{heading.group(2)}",
            fingerprint=fingerprint(" ".join(body.split())),
            excerpt=excerpt(body),
        )


def _evaluations(matter: dict[str, Any]) -> Iterator[Mechanism]:
    index = matter.get("model-index")
    for model in index if isinstance(index, list) else []:
        results = model.get("results") if isinstance(model, dict) else None
        for result in results if isinstance(results, list) else []:
            if not isinstance(result, dict) or not is_about_safety(str(result)):
                continue
            dataset = result.get("dataset")
            name = dataset.get("name") if isinstance(dataset, dict) else dataset
            yield Mechanism(
                kind="card_evaluation",
                name=str(name),
                place="README.md#model-index",
                fingerprint=fingerprint(result),
                excerpt=excerpt(str(result.get("metrics"))),
            )


def _gates(matter: dict[str, Any]) -> Iterator[Mechanism]:
    gates = {key: value for key, value in matter.items() if key.startswith("extra_gated")}
    if gates:
        yield Mechanism(
            kind="gate",
            name="access",
            place="README.md",
            fingerprint=fingerprint(gates),
            excerpt=excerpt(str(gates.get("extra_gated_prompt") or sorted(gates))),
        )


def _telling_names(card: str, matter: dict[str, Any]) -> Iterator[Mechanism]:
    """Yield tags and titles that say that guardrails are gone; text that speaks of it is no tag."""
    tags = matter.get("tags")
    titles = [heading.group(2) for heading in _HEADING.finditer(card) if heading.group(1) == "#"]
    said = [*(tags if isinstance(tags, list) else []), *titles, matter.get("model_name")]
    for text in dict.fromkeys(str(one) for one in said if one):
        if word := says_removed(text):
            yield Mechanism(
                kind="telling_name",
                name=text[:100],
                place="README.md",
                fingerprint=fingerprint(word.lower()),
                excerpt=f"says {word!r}",
                is_concern=True,
            )
