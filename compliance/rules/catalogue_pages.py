"""Write the catalogue as pages for a lawyer: a table of what matters, then each licence.

Run as `python -m compliance.rules.catalogue_pages > docs/licences.md`. Pure: same catalogue, same
text. Everything in quotation marks stands in the licence word for word.
"""

import re
import sys
from collections.abc import Iterable, Sequence

from compliance.rules.catalogue import Clause, Library, LicenceVersion
from compliance.rules.library import bundled_library

READ = {
    "read": "read in full",
    "second_hand": "known from others' quotations only; a reviewer has to read the original",
    "unverified": "not read; a reviewer has to read the original",
}
ROLES = {
    "licence": "Licence",
    "policy": "Use policy",
    "addendum": "Addendum",
    "dataset_licence": "Data-set licence",
}
MEANING = {
    "guardrail": "Safety mechanisms have to stay",
    "litigation": "A lawsuit ends rights",
    "noncommercial": "Non-commercial use only",
    "research_only": "Research only",
    "nonproduction": "No production use",
    "authorisation": "Written leave needed",
    "user_threshold": "Limit on users",
    "revenue_threshold": "Limit on revenue",
    "registration": "Registration needed",
    "territory": "Places left out",
    "acceptable_use": "Use policy",
    "output_training": "Limits on training others",
    "output_use": "Limits on outputs",
    "licence_copy": "Pass on a copy of the licence",
    "notice_file": "Pass on a notice",
    "retain_notices": "Keep notices",
    "changed_files": "Mark changes",
    "badge": "Show words to users",
    "model_name": "Name derived models so",
    "share_alike": "Same terms for derived works",
    "no_derivatives": "Derived works may not be shared",
    "no_redistribution": "Nothing may be passed on",
    "pass_through": "Bind recipients to terms",
    "hosting_counts": "Hosting counts as distribution",
    "citation": "Name it in publications",
    "documentation": "Keep the documentation",
    "output_reach": "How far outputs carry the licence",
    "unilateral_update": "The licensor may change the terms",
    "special_purpose": "Special-purpose models",
    "separate_components": "Components under their own licences",
    "indemnity": "Indemnity",
    "trade_controls": "Export and sanctions law",
    "latest_version": "Use the latest version",
    "remote_restriction": "The licensor may restrict use",
    "revocable": "May be taken back",
    "deletion": "Delete when it ends",
    "governing_law": "Law and courts",
    "trademark": "Names and marks",
    "licensee": "Who the licensee is",
    "legal_age": "Who may accept",
}
HEAD = """# The licences Lictor knows

Generated from `compliance/licences/`; edit the records there, then run `make pages`.

This is no legal advice. A record says what a text says, where, and what Lictor looks at for it.
Words in quotation marks stand in the text as published; nothing else does. "Counsel" names the
lawyer who checked the record; where it says nobody, treat the record as an engineer's reading.
"""


def catalogue_pages(library: Library) -> str:
    """Write the whole catalogue as Markdown."""
    licences = sorted(library.licences.values(), key=_order)
    parts = [HEAD, _counts(licences), _table(licences)]
    parts += [_page(one, library) for one in licences]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _order(licence: LicenceVersion) -> tuple[str, str, str]:
    return (licence.family, str(licence.date or ""), licence.key)


def _counts(licences: Sequence[LicenceVersion]) -> str:
    read = sum(one.status == "read" for one in licences)
    checked = sum(one.reviewed_by is not None for one in licences)
    clauses = sum(len(one.clauses) for one in licences)
    return (
        f"{len(licences)} texts and versions, {clauses} clauses; {read} read in full, "
        f"{len(licences) - read} known second hand or not read, {checked} checked by counsel."
    )


def _table(licences: Sequence[LicenceVersion]) -> str:
    lines = [
        "## What matters at a glance",
        "",
        "| text | commercial use | derived works | safety mechanisms | a lawsuit | limits | read |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in licences:
        # What was not read in full may hold more than its record: silence says nothing there.
        read = one.status == "read" or bool(one.clauses)
        told = (_commerce(one), _derived(one), _guardrail(one), _lawsuit(one), _limits(one))
        cells = (
            f"[{_cell(one.key)}](#{_anchor(one)})",
            *(told if read else ("not known",) * len(told)),
            "yes" if one.status == "read" else "no",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _has(licence: LicenceVersion, *kinds: str) -> bool:
    return any(clause.kind in kinds for clause in licence.clauses)


def _commerce(licence: LicenceVersion) -> str:
    if licence.role in ("policy", "addendum"):
        return "as its licence says"
    if _has(licence, "noncommercial", "research_only"):
        return "no"
    if _has(licence, "nonproduction"):
        return "no production"
    return "with leave" if _has(licence, "authorisation") else "yes"


def _derived(licence: LicenceVersion) -> str:
    if licence.role in ("policy", "addendum"):
        return "as its licence says"
    told = [
        word
        for kind, word in (
            ("no_derivatives", "not shared"),
            ("share_alike", "same terms"),
            ("pass_through", "terms passed on"),
            ("model_name", "named so"),
            ("badge", "with a badge"),
        )
        if _has(licence, kind)
    ]
    return ", ".join(told) or "free"


def _guardrail(licence: LicenceVersion) -> str:
    told = []
    for clause in licence.clauses_of("guardrail"):
        swap = clause.params["substitute"] == "substantially_similar"
        told.append("keep or replace alike" if swap else "keep; no substitute")
    return "; ".join(dict.fromkeys(told)) or "nothing said"


def _lawsuit(licence: LicenceVersion) -> str:
    told = []
    for clause in licence.clauses_of("litigation"):
        what = "patent licence ends" if clause.params["ends"] == "patent_only" else "licence ends"
        rights = ", ".join(sorted(str(one) for one in clause.params["rights"]))
        told.append(f"{what} ({'any right' if rights == 'any' else rights})")
    return "; ".join(dict.fromkeys(told)) or "nothing said"


def _limits(licence: LicenceVersion) -> str:
    told = []
    for clause in licence.clauses_of("user_threshold"):
        told.append(f"{clause.params['limit']:,} users")
    for clause in licence.clauses_of("revenue_threshold"):
        told.append(f"${clause.params['limit_usd']:,} a {clause.params.get('period', 'year')}")
    for clause in licence.clauses_of("territory"):
        told.append("not in " + ", ".join(str(one) for one in clause.params["excluded"]))
    return "; ".join(told) or "none"


def _page(licence: LicenceVersion, library: Library) -> str:
    lines = [f"## {licence.key}", ""]
    lines += [f"- {name}: {value}" for name, value in _facts(licence) if value]
    if licence.note:
        lines.append(f"- Note: {_plain(licence.note)}")
    lines += [f"- With it binds: {_linked(key, library)}" for key in licence.incorporates]
    lines += [f"- Cards advise, which is no term: “{_plain(words)}”" for words in licence.advice]
    lines.append("")
    for clause in licence.clauses:
        lines += _clause(clause)
    return "\n".join(lines)


def _facts(licence: LicenceVersion) -> Iterable[tuple[str, str]]:
    named = [*licence.licence_ids, *licence.licence_names]
    yield ROLES[licence.role], f"**{_plain(licence.title)}**"
    yield "Version", _plain(licence.version or "")
    yield "Licensor", _plain(licence.licensor)
    yield "SPDX", licence.spdx or ""
    yield "Cards call it", ", ".join(f"`{name}`" for name in named)
    yield "How it was read", f"{READ[licence.status]}, {licence.date_read}"
    yield "Source", _plain(licence.source)
    yield "Counsel", _plain(licence.reviewed_by or "nobody yet")


def _clause(clause: Clause) -> list[str]:
    asked = ", ".join(clause.evidence_needed)
    told = [
        f"**{MEANING[clause.kind]}** (section {_plain(clause.section)}, `{clause.id}`)",
        "",
        f"> “{_plain(clause.quote)}”",
        "",
    ]
    extra = [
        f"qualified by {clause.qualifier.replace('_', ' ')}" if clause.qualifier else "",
        f"cure: {clause.cure}" if clause.cure and clause.cure != "none" else "",
        f"evidence asked for: {asked}" if asked else "",
    ]
    noted = "; ".join(one for one in extra if one)
    return [*told, *([noted[0].upper() + noted[1:] + ".", ""] if noted else [])]


def _linked(key: str, library: Library) -> str:
    other = library.get(key)
    return f"[{key}](#{_anchor(other)})" if other else key


def _anchor(licence: LicenceVersion) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", licence.key.casefold()).replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _plain(text: str) -> str:
    """Keep Markdown from reading a licence's stars and angle brackets as its own."""
    return re.sub(r"([\\`*_<>\[\]#|])", r"\\\1", " ".join(str(text).split()))


def main() -> None:
    """Write the bundled catalogue's pages to standard output."""
    sys.stdout.write(catalogue_pages(bundled_library()))


if __name__ == "__main__":
    main()
