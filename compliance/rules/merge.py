"""Lay an operator's folder, and then an organisation's records, over the bundled catalogue.

The later layer wins key by key: organisation, operator, bundled. Pure over bytes; whoever calls
says where the folder is and which records are in force.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.facts import canonical_json
from compliance.rules.faults import FaultList, InputFaults
from compliance.rules.library import CATALOGUE_FOLDER, build_library, bundled_library
from compliance.rules.safe_yaml import read_yaml

INVALID = "catalogue_invalid"
MAX_RECORD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Base:
    """Hold what every organisation of an installation starts from.

    `files` are the catalogue's files by name, the operator's in place of bundled ones;
    `operator` are the keys that come from the operator's folder.
    """

    library: Library
    files: Mapping[str, bytes]
    operator: frozenset[str]


@cache
def base_catalogue(folder: str = "") -> Base:
    """Read the bundled catalogue and an operator's folder over it, once per process.

    An empty `folder` means that there is none. The folder is read, never written.

    Raises:
        InputFaults: code "catalogue_invalid", listing every fault of every file.
    """
    bundled = {path.name: path.read_bytes() for path in sorted(CATALOGUE_FOLDER.glob("*.yaml"))}
    if not folder:
        return Base(bundled_library(), bundled, frozenset())
    own = _read_folder(Path(folder))
    files = {**bundled, **own}
    library = build_library(files, source=folder)
    return Base(library, files, frozenset(name.removesuffix(".yaml") for name in own))


def _read_folder(folder: Path) -> dict[str, bytes]:
    faults = FaultList()
    found: dict[str, bytes] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        faults.add("(folder)", f"cannot be read: {error.strerror or error}")
        paths = []
    for path in paths:
        if path.suffix == ".yml":
            # It would be passed over in silence otherwise, and its clauses with it.
            faults.add(path.name, f"rename it to {path.stem}.yaml")
        elif path.suffix == ".yaml":
            try:
                found[path.name] = path.read_bytes()
            except OSError as error:
                faults.add(path.name, f"cannot be read: {error.strerror or error}")
    if not found and not faults.faults:
        faults.add("(folder)", "holds no *.yaml; add a licence or name no folder")
    faults.raise_if_any(INVALID, str(folder))
    return found


def document_digest(raw: bytes) -> str:
    """Digest what a record says, as "sha256:<hex>"; layout and comments do not count.

    Raises: InputFaults when it is no YAML.
    """
    document = read_yaml(raw, source="licence", code=INVALID, max_bytes=MAX_RECORD_BYTES)
    return _digest(document)


def _digest(value: Any) -> str:
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def merge(base: Base, records: Mapping[str, bytes]) -> Library:
    """Lay checked records, key -> YAML, over the base; reads only what is new.

    Laws: no record gives the base itself; the order of the records changes nothing; the digest
    follows from the base's and from what the records say.

    Raises:
        InputFaults: when a record is not sound, or no longer fits the base under it.
    """
    if not records:
        return base.library
    own = _read_records(base, records)
    licences = dict(sorted({**base.library.licences, **own}.items()))
    faults = FaultList()
    _check_texts(licences, faults)
    _check_incorporated(licences, faults)
    faults.raise_if_any(INVALID, "catalogue")
    said = {key: document_digest(raw) for key, raw in records.items()}
    digest = _digest({"base": base.library.digest, "records": said})
    return replace(base.library, licences=licences, digest=digest)


def _read_records(base: Base, records: Mapping[str, bytes]) -> dict[str, LicenceVersion]:
    files = {f"{key}.yaml": raw for key, raw in records.items()}
    # What a record incorporates must be there to be checked against.
    for name in sorted({name for raw in records.values() for name in _incorporated(raw)}):
        if f"{name}.yaml" in base.files:
            files.setdefault(f"{name}.yaml", base.files[f"{name}.yaml"])
    library = build_library(files, source="organisation's licences")
    return {key: library.licences[key] for key in records}


def _incorporated(raw: bytes) -> tuple[str, ...]:
    try:
        document = read_yaml(raw, source="licence", code=INVALID, max_bytes=MAX_RECORD_BYTES)
    except InputFaults:
        return ()  # build_library says what is wrong with it
    named = document.get("incorporates") if isinstance(document, dict) else None
    return tuple(str(one) for one in named) if isinstance(named, list) else ()


def check_all(base: Base, records: Mapping[str, bytes]) -> None:
    """Check the whole merged catalogue with the loader's every rule; slower than `merge`.

    Raises:
        InputFaults: listing every fault, each with its place.
    """
    files = {f"{key}.yaml": raw for key, raw in records.items()}
    build_library({**base.files, **files}, source="catalogue")


def _check_texts(licences: Mapping[str, LicenceVersion], faults: FaultList) -> None:
    owners: dict[str, str] = {}
    for key, licence in licences.items():
        for digest in licence.text_sha256:
            if owners.setdefault(digest, key) != key:
                faults.add(f"{key}.text_sha256", f"is the text of '{owners[digest]}' too")


def _check_incorporated(licences: Mapping[str, LicenceVersion], faults: FaultList) -> None:
    for key, licence in licences.items():
        for other in licence.incorporates:
            if other not in licences:
                faults.add(f"{key}.incorporates", f"'{other}' is not in the catalogue")
            elif licences[other].incorporates:
                faults.add(f"{key}.incorporates", f"'{other}' incorporates papers of its own")


def affected_keys(before: Library, after: Library, key: str) -> frozenset[str]:
    """Name the licences that a change to `key` can touch.

    Those are its family, before and after, and what incorporates one of them.
    """
    found = [one for one in (before.get(key), after.get(key)) if one is not None]
    families = {one.family for one in found}
    everything = [*before.licences.values(), *after.licences.values()]
    keys = {key} | {one.key for one in everything if one.family in families}
    return frozenset(keys | {one.key for one in everything if keys & set(one.incorporates)})
