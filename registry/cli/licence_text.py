"""`lictor licence identify` and `known`: which licence is a file, and what is known? Offline."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import plain
from registry.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from compliance.rules.catalogue import LicenceVersion
    from compliance.rules.licence_file import TextMatch, TextReading
    from compliance.rules.textdiff import WordChange

TEXTS_VARIABLE = "LICTOR_LICENCE_TEXTS"
_EXITS = {"exact": 0, "contains": 3, "near": 3, "unknown": 4, "empty": 4, "unreadable": 4}
_SHOWN_CHANGES = 40
_SHOWN_CHARS = 400
_FILES = click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
_TEXTS = click.option(
    "--texts",
    type=click.Path(path_type=Path),
    envvar=TEXTS_VARIABLE,
    show_envvar=True,
    help="Folder of known texts: all words of an altered file are compared with them.",
)

Compared = dict[str, tuple["WordChange", ...]]


@click.command()
@_FILES
@_TEXTS
@click.option("--json", "as_json", is_flag=True, help="Print everything found as JSON.")
def identify(files: tuple[Path, ...], texts: Path | None, as_json: bool) -> None:
    """Say which known licence a file is, word for word, and what was changed in it.

    \b
    Exit codes: 0 exact, 3 altered or with other words around it, 4 unknown, empty or no text,
    2 bad input; of several files, the highest.
    Example:  lictor licence identify LICENSE
    """
    from compliance.rules.faults import InputFaults
    from compliance.rules.licence_file import read_text
    from compliance.rules.text_folder import known_texts, read_licence_file
    from registry.cli.catalogue import installed_library
    from registry.errors import BadInput

    library = installed_library()
    try:
        stored = [read_licence_file(path) for path in files]
        known = {} if texts is None else known_texts(texts, library)
    except InputFaults as error:
        said = "; ".join(str(fault) for fault in error.faults)
        raise BadInput(said, code=error.code, place=error.source) from error
    found = []
    for one in stored:
        reading = read_text(one, library)
        found.append((reading, _compared(reading, one.text or "", known)))
    if as_json:
        print_json([_json(reading, compared) for reading, compared in found])
    else:
        for line in (line for one in found for line in _lines(*one)):
            click.echo(plain(line))
    raise SystemExit(max(_EXITS[reading.outcome] for reading, _ in found))


def _compared(reading: "TextReading", text: str, known: Any) -> Compared:
    """Compare all words of a file that is one altered licence, where its known text is at hand."""
    from compliance.rules.licence_file import compare_whole

    if len(reading.parts) != 1 or reading.outcome != "near":
        return {}
    match = reading.parts[0]
    key = match.licence.key if match.licence else ""
    return {key: compare_whole(match, text, known[key])} if key in known else {}


def _json(reading: "TextReading", compared: Compared) -> dict[str, Any]:
    return {
        "path": reading.path,
        "outcome": reading.outcome,
        "likeness": round(reading.likeness, 4),
        "closest": reading.closest or None,
        "licences": [_match_json(one, compared) for one in reading.parts],
        "other_words": list(reading.extra),
        "html": reading.html,
        "disguised_words": list(reading.disguised),
    }


def _match_json(match: "TextMatch", compared: Compared) -> dict[str, Any]:
    key = match.licence.key if match.licence else ""
    return {
        "licence": key,
        "title": match.licence.title if match.licence else None,
        "version": match.licence.version if match.licence else None,
        "outcome": match.outcome,
        "likeness": round(match.likeness, 4),
        "altered_clauses": [
            {
                "id": one.id,
                "section": one.section,
                "kind": one.kind,
                "quote_sha256": one.quote_sha256,
                "changes": [_change_json(change) for change in one.changes],
            }
            for one in match.clauses
        ],
        "passages_not_in_known_text": list(match.passages),
        "all_changes": [_change_json(one) for one in compared[key]] if key in compared else None,
    }


def _change_json(change: "WordChange") -> dict[str, str]:
    return {
        "kind": change.kind,
        "old": change.old,
        "new": change.new,
        "before": change.before,
        "after": change.after,
    }


def _lines(reading: "TextReading", compared: Compared) -> Iterator[str]:
    if not reading.parts:
        hint = f", closest {reading.closest} {reading.likeness:.2f}" if reading.closest else ""
        yield f"{reading.path}: {reading.outcome}{hint}"
    for match in reading.parts:
        yield from _match_lines(match, compared)
    if reading.html:
        yield "  a saved HTML page: its markup can hide or add words"
    for words in reading.extra:
        yield f"  other words: {words[:_SHOWN_CHARS]}"
    for word in reading.disguised:
        yield f"  disguised word: {word}"


def _match_lines(match: "TextMatch", compared: Compared) -> Iterator[str]:
    key = match.licence.key if match.licence else ""
    # A rounded 1.000 would look exact.
    likeness = "" if match.outcome != "near" else f", likeness {min(match.likeness, 0.999):.3f}"
    yield f"{match.path}: {match.outcome} {key}{likeness}"
    for clause in match.clauses:
        yield f"  clause {clause.id} (section {clause.section}) {clause.kind}"
        for change in clause.changes:
            yield f"    {change}"
    for words in match.passages:
        yield f"  not in the known text: {words[:_SHOWN_CHARS]}"
    if key in compared:
        yield from _all_lines(compared[key])
    elif match.outcome == "near":
        yield f"  to see all changes, give --texts ({TEXTS_VARIABLE}) a folder with the known text"


def _all_lines(changes: tuple["WordChange", ...]) -> Iterator[str]:
    yield f"  {len(changes)} change(s) against the known text:"
    for change in changes[:_SHOWN_CHANGES]:
        yield f"    {change}"
    if len(changes) > _SHOWN_CHANGES:
        yield f"    and {len(changes) - _SHOWN_CHANGES} more; --json lists them all"


@click.command()
@click.argument("key", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def known(key: str | None, as_json: bool) -> None:
    """List the licences this installation knows, or show one with its clauses. Needs no server.

    \b
    Example:  lictor licence known apache-2.0
    """
    from registry.cli.catalogue import installed_library
    from registry.errors import BadInput

    library = installed_library()
    if key is None:
        _print_known(library.licences.values(), as_json)
        return
    licence = library.get(key)
    if licence is None:
        raise BadInput(f"{key} is not in the catalogue; lictor licence known lists what is.")
    if as_json:
        print_json(_licence_json(licence))
    else:
        _print_licence(licence)


def _print_known(licences: Iterable["LicenceVersion"], as_json: bool) -> None:
    if as_json:
        print_json([_brief(one) for one in licences])
        return
    for one in licences:
        click.echo(plain(f"{one.key:<44} {one.role:<16} {one.status:<12} {one.title}"))


def _brief(licence: "LicenceVersion") -> dict[str, Any]:
    return {
        "key": licence.key,
        "title": licence.title,
        "version": licence.version,
        "date": licence.date.isoformat() if licence.date else None,
        "family": licence.family,
        "role": licence.role,
        "status": licence.status,
        "text_known": bool(licence.text_sha256),
    }


def _licence_json(licence: "LicenceVersion") -> dict[str, Any]:
    from compliance.rules.text import clause_digest

    return {
        **_brief(licence),
        "licensor": licence.licensor,
        "spdx": licence.spdx,
        "source": licence.source,
        "date_read": licence.date_read.isoformat(),
        "reviewed_by": licence.reviewed_by,
        "note": licence.note,
        "incorporates": list(licence.incorporates),
        "links": [*licence.links, *licence.unversioned_links],
        "text_sha256": list(licence.text_sha256),
        "clauses": [
            {
                "id": one.id,
                "kind": one.kind,
                "section": one.section,
                "quote": one.quote,
                "quote_sha256": clause_digest(one.quote),
                "params": dict(one.params),
            }
            for one in licence.clauses
        ],
    }


def _print_licence(licence: "LicenceVersion") -> None:
    rows = [
        ("key", licence.key),
        ("title", licence.title),
        ("version", licence.version or "none given"),
        ("licensor", licence.licensor),
        ("role", licence.role),
        ("status", f"{licence.status}, read {licence.date_read}, source: {licence.source}"),
        ("counsel", licence.reviewed_by or "no lawyer has checked this record"),
        ("text", "recognised word for word" if licence.text_sha256 else "no copy was at hand"),
        ("takes in", ", ".join(licence.incorporates) or "no other paper"),
    ]
    print_rows([(name, plain(value)) for name, value in rows])
    for clause in licence.clauses:
        click.echo(plain(f"\n{clause.id} ({clause.kind}, section {clause.section})"))
        click.echo(plain(f"  “{clause.quote}”"))
