"""Add to a model's facts what only its import from a Hub knows.

A licence file that the Hub lists and that could not be read is a licence file without a text, so
the licence stays unresolved; a parent is known under the name that its repository has now.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from compliance.rules.facts import LicenceText, ModelFacts, ParentLink, Statement
from registry import storage
from registry.artifact.card import is_declaring
from registry.errors import LictorError
from registry.hub.facts import REFUSED_FOLDER, is_licence
from registry.hub.wire import edge_name
from registry.models import HubImport

_CARD: Final = "README.md"
_REFUSED_CARD: Final = REFUSED_FOLDER + _CARD
_MAX_CARD_BYTES: Final = 1 << 20


def imports_of(keys: Iterable[Any]) -> dict[Any, HubImport]:
    """Find the imports of these checkpoints, by checkpoint."""
    rows = HubImport.objects.filter(checkpoint__in=list(keys)).select_related("checkpoint")
    return {row.checkpoint_id: row for row in rows}


def with_hub(model: ModelFacts, row: HubImport | None) -> ModelFacts:
    """Fill what the files do not say; what they do say is left alone."""
    if row is None:
        return model
    card = row.seen["card"] if not _holds(row, _CARD) else {}
    return replace(
        model,
        license=model.license or card.get("license"),
        license_name=model.license_name or card.get("license_name"),
        license_link=model.license_link or card.get("license_link"),
        licence_texts=(*model.licence_texts, *_unread(model, row)),
        statements=(*model.statements, *_statements(model, row)),
        parents=_parents(model, row),
    )


def _holds(row: HubImport, path: str) -> bool:
    return any(one["path"] == path for one in row.checkpoint.manifest["files"])


def _unread(model: ModelFacts, row: HubImport) -> Iterator[LicenceText]:
    """Name each file that may carry terms, is in the commit, and was not read."""
    read = {one.path for one in model.licence_texts}
    for path in dict.fromkeys(one["path"] for one in row.seen["left_out"]):
        terms = is_licence(path) or (is_declaring(path) and not path.endswith(".json"))
        if terms and path not in read and not _holds(row, path):
            yield LicenceText(path=path, text=None)


def _statements(model: ModelFacts, row: HubImport) -> Iterator[Statement]:
    told = {(one.source, one.text.strip()) for one in model.statements}
    for text in row.seen["gates"]:
        if ("gate", text.strip()) not in told:
            yield Statement(source="gate", text=text)
    if _holds(row, _REFUSED_CARD) and (text := _refused_card(row)):
        yield Statement(source="card", text=text)


def _refused_card(row: HubImport) -> str:
    """Read the prose of a card that the strict reader refused; it stays unread besides."""
    try:
        data = storage.read_bytes(row.checkpoint, _REFUSED_CARD, limit=_MAX_CARD_BYTES)
    except LictorError:
        return ""
    return (data or b"").decode("utf-8", "replace").replace("\x00", "")


def _parents(model: ModelFacts, row: HubImport) -> tuple[ParentLink, ...]:
    seen = row.seen["parents"]
    now_called = {one["named"]: one["id"] for one in seen if one["named"] != one["id"]}
    told = {link.id.split("@")[0] for link in model.parents}
    kept = [link for link in model.parents if now_called.get(link.id) not in told]
    new = [
        ParentLink(id=edge_name(one), relation=one["relation"])
        for one in seen
        if one["id"] not in told
    ]
    return tuple(sorted([*kept, *new], key=lambda link: (link.id, link.relation)))
