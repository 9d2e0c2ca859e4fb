"""Check the YAML of a licence record against the catalogue that it would become a part of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import yaml
from django.conf import settings

from compliance import selectors_licences as selectors
from compliance.models import LicenceRecord
from compliance.rules.catalogue import Library
from compliance.rules.facts import canonical_json
from compliance.rules.faults import Fault, InputFaults
from compliance.rules.licence_record import key_fault
from compliance.rules.merge import (
    INVALID,
    MAX_RECORD_BYTES,
    base_catalogue,
    check_all,
    document_digest,
    merge,
)
from compliance.rules.safe_yaml import read_yaml
from compliance.rules.yaml_places import line_of
from registry.errors import BadInput
from registry.models import Organisation
from registry.storable import unstorable

_DATES = ("date", "date_read")
# Embeddings, overrides and isolates of the bidirectional algorithm (Unicode UAX 9).
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class PlacedFault:
    """Say where in the text something is wrong; `line` counts from 1, None where it has none."""

    place: str
    message: str
    line: int | None

    def __str__(self) -> str:
        where = f"line {self.line}, {self.place}" if self.line else self.place
        return f"{where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Checked:
    """Hold what a text says; `digest` is empty while there are faults."""

    key: str
    digest: str
    faults: tuple[PlacedFault, ...]


def read(organisation: Organisation, text: str) -> Checked:
    """Check a text fast enough to do it while somebody writes."""
    return _read(organisation, text, is_full=False)


def read_fully(organisation: Organisation, text: str) -> Checked:
    """Check a text with every rule of the loader over the whole catalogue."""
    checked = read(organisation, text)
    return checked if checked.faults else _read(organisation, text, is_full=True)


def _read(organisation: Organisation, text: str, *, is_full: bool) -> Checked:
    try:
        raw = text.encode()
        document = read_yaml(raw, source="licence", code=INVALID, max_bytes=MAX_RECORD_BYTES)
        if faults := _unshowable(document):
            return _checked(_key_in(text), text, faults)
        key = str(document.get("key") or "") if isinstance(document, dict) else ""
        if key and (said := key_fault(key)):
            return _checked(key[:100], text, [Fault("key", said)])
        records = {**_records(organisation), key or "licence": raw}
        if is_full:
            check_whole(records)
        else:
            merge(selectors.base(), records)
        return Checked(key, document_digest(raw), ())
    except InputFaults as error:
        return _checked(_key_in(text), text, list(error.faults))
    except UnicodeEncodeError:
        return _checked("", "", [Fault("(document)", "holds half a surrogate pair")])
    except (TypeError, ValueError, AttributeError) as error:
        # A list where a word belongs, and the like: whatever cannot be read is refused.
        fault = Fault("(document)", f"holds a value of a wrong shape ({error})")
        return _checked(_key_in(text), text, [fault])


def _unshowable(document: Any) -> list[Fault]:
    """Find characters that no column can hold, or that show words in another order than they are.

    An approver must see what the record says.
    """
    said = [one.message.rstrip(".") for one in unstorable(document, place="")]
    if any(letter in _TURNING for letter in canonical_json(document).decode()):
        said.append("holds a character that turns the direction of writing; take it out")
    return [Fault("(document)", one) for one in sorted(set(said))]


def _records(organisation: Organisation) -> dict[str, bytes]:
    return {key: row.document.encode() for key, row in selectors.in_force(organisation).items()}


def _key_in(text: str) -> str:
    for line in text.splitlines():
        if line.startswith("key:"):
            return line.removeprefix("key:").strip().strip("'\"")[:100]
    return ""


def _checked(key: str, text: str, faults: list[Fault]) -> Checked:
    return Checked(key, "", tuple(_placed(key or "licence", text, one) for one in faults))


def _placed(name: str, text: str, fault: Fault) -> PlacedFault:
    """Find the line of a fault; one of another record has none in this text."""
    place, message = fault.place, fault.message
    other = place.removesuffix(".text_sha256")
    if other not in (place, name, f"{name}.yaml"):
        # The loader names the later of two keys that share a text; here both mean this one.
        place, message = "text_sha256", f"is the text of '{other}' too"
    elif place.startswith((f"{name}.yaml", f"{name}.")):
        place = place.removeprefix(f"{name}.yaml").removeprefix(f"{name}.").lstrip(".")
    elif place not in ("key", "(document)"):
        return PlacedFault(place, message, None)
    return PlacedFault(place or "(document)", message, line_of(text, place, message))


def check_whole(records: Mapping[str, bytes]) -> None:
    """Check the catalogue with these records by the loader's every rule; the same set once.

    Raises: InputFaults.
    """
    _check_whole(str(settings.LICTOR_LICENCES), tuple(sorted(records.items())))


@lru_cache(maxsize=64)
def _check_whole(folder: str, records: tuple[tuple[str, bytes], ...]) -> None:
    # Reading some seventy files takes a second: not twice, and not while others wait for the lock.
    check_all(base_catalogue(folder), dict(records))


def library_after(record: LicenceRecord) -> Library:
    """Give the organisation's catalogue as it is once this version is in force.

    Raises: BadInput (licence_invalid) when it would not be sound.
    """
    records = _records(record.organisation)
    records.pop(record.key, None)
    if record.document:
        records[record.key] = record.document.encode()
    try:
        check_whole(records)
        return merge(selectors.base(), records)
    except InputFaults as error:
        faults = "; ".join(map(str, error.faults))
        raise BadInput(
            f"With this version the catalogue would not be sound: {faults}.", code="licence_invalid"
        ) from error


def yaml_of(document: dict[str, Any]) -> str:
    """Write a record that came as JSON as YAML; its days come as texts. Raises: BadInput."""
    plain = dict(document)
    for name in _DATES:
        if isinstance(plain.get(name), str):
            plain[name] = _day(name, plain[name])
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{text!r} is no day; write YYYY-MM-DD.", code="licence_invalid", place=name
        ) from None
