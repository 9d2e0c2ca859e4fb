"""Names and numbers that every format needs: made from what was judged, never from a clock.

Law: same assessment and facts, same document bytes.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.catalogue import Library
from compliance.rules.facts import DatasetFact, Facts, ModelFacts

Files = Mapping[str, Mapping[str, str]]
"""Model id -> path -> SHA-256 in lower-case hex."""

NAMESPACE: Final = uuid.UUID("6f1d4f1e-6c0c-5b7a-9a2b-6b1f1d0c9e11")
TOOL: Final = "lictor"


def number_of(judged: Assessment, form: str, files: Files) -> uuid.UUID:
    """Number a document by what it says: another judgement or other files, another number."""
    told = "\n".join(
        f"{model}\t{path}\t{files[model][path]}"
        for model in sorted(files)
        for path in sorted(files[model])
    )
    return uuid.uuid5(NAMESPACE, f"{form}\n{judged.digest()}\n{told}")


def made_at(judged: Assessment) -> str:
    """Give the judgement's day as an instant; no clock is read."""
    return f"{judged.as_of.isoformat()}T00:00:00Z"


def split_name(name: str) -> tuple[str | None, str]:
    """Split org/name."""
    group, slash, short = name.partition("/")
    return (group, short) if slash else (None, name)


def described(facts: Facts) -> dict[str, ModelFacts]:
    """Map names to the described models."""
    return {model.id: model for model in facts.models}


def clause_of(finding: Finding, library: Library) -> str:
    """Name the clause that speaks as licence/clause, else licence/rule, else the rule alone.

    A finding carries its clause's words and section, which together name it within a licence.
    """
    if finding.licence is None:
        return finding.rule
    licence = library.get(finding.licence)
    spoken = [
        one
        for one in (() if licence is None else licence.clauses)
        if (one.section, one.quote) == (finding.section, finding.quote)
    ]
    kept = next((one for one in spoken if one.kind == finding.rule), None)
    if kept is None and spoken:
        kept = spoken[0]
    return f"{finding.licence}/{finding.rule if kept is None else kept.id}"


def files_of(name: str, model: ModelFacts | None, files: Files) -> dict[str, str]:
    """Map the files of a model to their SHA-256: its manifest's, and its licence files'."""
    held = dict(files.get(name, {}))
    for text in () if model is None else model.licence_texts:
        if text.sha256:
            held.setdefault(text.path, text.sha256)
    return dict(sorted(held.items()))


def data_sets(names: Iterable[str], facts: Facts) -> dict[str, DatasetFact]:
    """Map a reference to each data set; one named under two licences or uses appears twice."""
    models = described(facts)
    every = {one for name in names if name in models for one in models[name].datasets}
    found: dict[str, DatasetFact] = {}
    for one in sorted(every, key=lambda item: (item.id, item.use, item.license or "")):
        ref, again = f"data:{one.id}", 2
        while ref in found:
            ref, again = f"data:{one.id}#{again}", again + 1
        found[ref] = one
    return found


def closure(judged: Assessment, facts: Facts) -> list[str]:
    """List the subject and its ancestors, described or not, nearest first."""
    models = described(facts)
    found = [judged.subject]
    seen = {judged.subject}
    for name in found:
        links: Iterable[str] = (
            sorted({link.id for link in models[name].parents}) if (name in models) else ()
        )
        for parent in links:
            if parent not in seen:
                seen.add(parent)
                found.append(parent)
    return found
