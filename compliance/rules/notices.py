"""Write the files that a release has to carry: NOTICE, attribution, and what to add by hand.

Pure. Every line comes from a clause that binds, so a release under no such licence gets no line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compliance.rules.assessment import Assessment, BindingLicence
from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.facts import Facts, LicenceText

MISSING = "add the text as published; no copy came with the model"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Hold a release's files by name, and what is still missing from them."""

    files: Mapping[str, str]
    missing: tuple[str, ...]


def notice_bundle(judged: Assessment, facts: Facts, library: Library) -> Bundle:
    """Write NOTICE, ATTRIBUTION.md and LICENSES/ for the subject of a judgement.

    Law: same input, same files. A licence text is only copied as it came with a model; where none
    came, `missing` says so.
    """
    bound = _bound(judged, library)
    files = {}
    notices = _notices(bound)
    if notices:
        files["NOTICE"] = "\n\n".join(notices) + "\n"
    texts, missing = _texts(judged, facts, bound)
    files.update(texts)
    files["ATTRIBUTION.md"] = _attribution(judged, bound, library, texts)
    return Bundle(dict(sorted(files.items())), tuple(missing))


def _bound(judged: Assessment, library: Library) -> list[tuple[BindingLicence, LicenceVersion]]:
    found: dict[str, tuple[BindingLicence, LicenceVersion]] = {}
    for one in judged.binding_licences:
        licence = library.get(one.licence)
        if licence is not None:
            found.setdefault(licence.key, (one, licence))
    return list(found.values())


def _notices(bound: Iterable[tuple[BindingLicence, LicenceVersion]]) -> list[str]:
    """List the notices that texts ask for, each once."""
    wanted = [
        str(clause.params["text"])
        for _, licence in bound
        for clause in licence.clauses_of("notice_file")
        if not clause.params.get("only_if_shipped")
    ]
    return list(dict.fromkeys(wanted))


def _texts(
    judged: Assessment, facts: Facts, bound: list[tuple[BindingLicence, LicenceVersion]]
) -> tuple[dict[str, str], list[str]]:
    models = {model.id: model for model in facts.models}
    files: dict[str, str] = {}
    missing = []
    for binding, licence in bound:
        model = models.get(binding.model)
        text = _first_text(model.licence_texts if model else ())
        if text is not None:
            files[f"LICENSES/{licence.key}.txt"] = text
        elif licence.clauses_of("licence_copy") or licence.clauses_of("retain_notices"):
            missing.append(f"LICENSES/{licence.key}.txt: {MISSING} ({licence.title}).")
    missing += [
        f"{finding.rule}: {finding.remedy or finding.because}"
        for finding in judged.findings
        if finding.rule in ("notice_file", "changed_files") and finding.status == "needs_review"
    ]
    return files, missing


def _first_text(texts: Iterable[LicenceText]) -> str | None:
    for one in texts:
        name = one.path.rsplit("/", 1)[-1].casefold()
        if one.text and one.text.strip() and name.startswith(("licen", "copying")):
            return one.text
    return None


def _attribution(
    judged: Assessment,
    bound: list[tuple[BindingLicence, LicenceVersion]],
    library: Library,
    texts: Mapping[str, str],
) -> str:
    lines = [f"# {judged.subject}: where it comes from", ""]
    for binding, licence in bound:
        name = f"{licence.title}, {licence.version}" if licence.version else licence.title
        copy = f"LICENSES/{licence.key}.txt"
        lines.append(f"- {binding.model}, by its publisher under {name} ({licence.licensor}).")
        if copy in texts:
            lines.append(f"  The text is in {copy}.")
        lines += [f"  {line}" for line in _asked(licence)]
        lines += [
            f"  {line}"
            for key in licence.incorporates
            for paper in [library.get(key)]
            if paper is not None
            for line in [f"Its use policy binds too: {paper.title}."]
        ]
    return "\n".join(lines) + "\n"


def _asked(licence: LicenceVersion) -> Iterable[str]:
    for clause in licence.clauses_of("badge"):
        words = " or ".join(f"“{one}”" for one in clause.params["any_of"])
        if not clause.params.get("only_models_named"):
            yield f"{words} has to be shown (section {clause.section})."
    for clause in licence.clauses_of("changed_files"):
        yield f"Changed files have to say that they were changed (section {clause.section})."
    for clause in licence.clauses_of("pass_through"):
        yield f"Its terms have to bind whoever receives this (section {clause.section})."
