"""Read the licences that count for one organisation, and the history of its own records.

Its active records lie over the operator's folder, and that over the bundled catalogue.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from compliance.models import Assessment, LicenceRecord
from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.faults import InputFaults
from compliance.rules.licence_diff import LicenceDiff, compare
from compliance.rules.merge import INVALID, Base, base_catalogue, document_digest, merge
from compliance.rules.safe_yaml import read_yaml
from registry.errors import Conflict
from registry.models import Organisation

ORIGINS = ("bundled", "operator", "organisation")
# Libraries share every licence that they have in common, so one more costs a dictionary.
_MOST_LIBRARIES = 512


def base() -> Base:
    """Give what every organisation starts from. Raises: InputFaults, as the system check says."""
    return base_catalogue(str(settings.LICTOR_LICENCES))


def records(organisation: Organisation) -> "QuerySet[LicenceRecord]":
    return LicenceRecord.objects.for_org(organisation)


def _in_force() -> "QuerySet[LicenceRecord]":
    rows: QuerySet[LicenceRecord] = LicenceRecord.objects.filter(state=LicenceRecord.State.ACTIVE)
    return rows.exclude(change=LicenceRecord.Change.RETIRE)


def in_force(organisation: Organisation) -> dict[str, LicenceRecord]:
    """Give the organisation's records that count now, by key."""
    return {row.key: row for row in _in_force().filter(organisation=organisation)}


def library_for(organisation: Organisation) -> Library:
    """Give the catalogue by which this organisation's checkpoints are judged.

    One indexed query; a catalogue is put together once per process and kept by its records.
    Raises: Conflict (catalogue_conflict) when a record no longer fits what lies under it.
    """
    rows = _in_force().filter(organisation=organisation).order_by("key")
    stamp = tuple(rows.values_list("key", "digest", "pk"))
    return _library(str(settings.LICTOR_LICENCES), stamp)


@lru_cache(maxsize=_MOST_LIBRARIES)
def _library(folder: str, stamp: tuple[tuple[str, str, UUID], ...]) -> Library:
    texts = {
        row.key: row.document.encode()
        for row in LicenceRecord.objects.filter(pk__in=[pk for _, _, pk in stamp])
    }
    try:
        for key, digest, _ in stamp:
            _check_digest(key, digest, texts[key])
        return merge(base_catalogue(folder), texts)
    except InputFaults as error:
        raise conflict(error) from error


def _check_digest(key: str, digest: str, raw: bytes) -> None:
    if document_digest(raw) != digest:
        raise Conflict(
            f"The words of the licence record '{key}' are not those that were approved; its "
            "ledger entry names their digest. Nothing is judged by it: retire it, or restore it.",
            code="licence_record_altered",
        )


def conflict(error: InputFaults) -> Conflict:
    """Say that the organisation's records and the catalogue under them do not go together."""
    said = "; ".join(map(str, error.faults))
    return Conflict(
        "The organisation's own licence records do not fit the catalogue under them; retire or "
        f"correct them: {said}.",
        code="catalogue_conflict",
        extra={"faults": [{"place": one.place, "message": one.message} for one in error.faults]},
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """Show one licence of an organisation's catalogue with where it comes from."""

    licence: LicenceVersion
    origin: str
    record: LicenceRecord | None

    @property
    def counsel(self) -> str | None:
        """Name who read it as counsel, if anybody did."""
        return self.licence.reviewed_by


def entries(organisation: Organisation) -> list[Entry]:
    """List the organisation's catalogue by key."""
    own, operator = in_force(organisation), base().operator
    return [
        Entry(licence, _origin(key, own, operator), own.get(key))
        for key, licence in sorted(library_for(organisation).licences.items())
    ]


def _origin(key: str, own: Iterable[str], operator: Iterable[str]) -> str:
    if key in own:
        return "organisation"
    return "operator" if key in operator else "bundled"


def entry(organisation: Organisation, key: str) -> Entry | None:
    """Find one licence of the organisation's catalogue."""
    found = library_for(organisation).get(key)
    if found is None:
        return None
    own = in_force(organisation)
    return Entry(found, _origin(key, own, base().operator), own.get(key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Hold what a list of licences is narrowed to; an empty field narrows nothing."""

    words: str = ""
    family: str = ""
    status: str = ""
    origin: str = ""
    counsel: str = ""


def narrow(found: Iterable[Entry], wanted: Wanted) -> list[Entry]:
    """Keep the licences that have every word and every quality asked for."""
    words = wanted.words.casefold().split()
    return [one for one in found if _has(one, words) and _is(one, wanted)]


def _has(one: Entry, words: list[str]) -> bool:
    licence = one.licence
    said = [licence.key, licence.title, licence.family, licence.licensor, licence.spdx or ""]
    text = " ".join([*said, *licence.licence_ids, *licence.licence_names]).casefold()
    return all(word in text for word in words)


def _is(one: Entry, wanted: Wanted) -> bool:
    counsel = {"yes": one.counsel is not None, "no": one.counsel is None}
    return (
        wanted.family in ("", one.licence.family)
        and wanted.status in ("", one.licence.status)
        and wanted.origin in ("", one.origin)
        and (not wanted.counsel or counsel.get(wanted.counsel, False))
    )


def text_of(organisation: Organisation, key: str) -> str | None:
    """Give the YAML that counts for a key now, or None."""
    record = in_force(organisation).get(key)
    return record.document if record is not None else base_text(key)


def base_text(key: str) -> str | None:
    """Give the YAML that lies under an organisation's record, or None."""
    raw = base().files.get(f"{key}.yaml")
    return None if raw is None else raw.decode()


def document_of(text: str | None) -> dict[str, Any] | None:
    """Read checked YAML into plain data."""
    if not text:
        return None
    document: dict[str, Any] = read_yaml(text.encode(), source="licence", code=INVALID)
    return document


def digest_of(text: str | None) -> str:
    """Digest what a text says; empty for none."""
    return document_digest(text.encode()) if text else ""


@dataclass(frozen=True, slots=True)
class Version:
    """Show one version with what it changed; `diff` is None when its ground is not at hand."""

    record: LicenceRecord
    diff: LicenceDiff | None


def history(organisation: Organisation, key: str) -> list[Version]:
    """List every version of a key, newest first, each against what it was written to replace."""
    rows = list(records(organisation).filter(key=key).order_by("-number"))
    return [Version(row, _diff(row, rows)) for row in rows]


def version_of(record: LicenceRecord) -> Version:
    """Show one version with what it changes."""
    rows = LicenceRecord.objects.filter(organisation=record.organisation_id, key=record.key)
    return Version(record, _diff(record, list(rows)))


def _diff(record: LicenceRecord, rows: list[LicenceRecord]) -> LicenceDiff | None:
    if not record.base_digest:
        return compare(None, document_of(record.document))
    under = base_text(record.key)
    texts = {digest_of(under): under} | {row.digest: row.document for row in rows if row.document}
    if record.base_digest not in texts:
        return None
    # A record that is retired gives way to what lies under it, if anything does.
    after = record.document or under
    return compare(document_of(texts[record.base_digest]), document_of(after))


def outdated(day: date, limit: int) -> "list[Assessment]":
    """List judgements by another catalogue than their organisation's, or of an earlier day.

    Oldest first. An organisation whose records fit no more is left out: it has no catalogue to
    judge by, and what stands there stays as it is.
    """
    own = _in_force().values("organisation")
    plain = _current().exclude(organisation__in=own)
    found = list(_behind(plain, base().library.digest, day)[:limit])
    for organisation in Organisation.objects.filter(pk__in=own):
        try:
            digest = library_for(organisation).digest
        except Conflict:
            continue
        found += _behind(_current().filter(organisation=organisation), digest, day)[:limit]
    return sorted(found, key=lambda one: one.as_of)[:limit]


def _current() -> "QuerySet[Assessment]":
    rows: QuerySet[Assessment] = Assessment.objects.filter(is_current=True)
    return rows.select_related("checkpoint__model", "checkpoint__organisation")


def _behind(rows: "QuerySet[Assessment]", digest: str, day: date) -> "QuerySet[Assessment]":
    stale = rows.exclude(catalogue_digest=digest) | rows.filter(as_of__lt=day)
    return stale.order_by("as_of")
