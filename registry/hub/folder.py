"""Lay out a reading as the files of a metadata checkpoint.

What the registry's strict readers refuse is kept under REFUSED_FOLDER, where it declares nothing
but can be read by people and as prose; what cannot be kept at all is listed with the reason.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from registry.artifact.card import CONFIG_FILES, declared_facts, is_declaring
from registry.artifact.formats import HEAD_BYTES, format_fault
from registry.artifact.manifest import FileEntry, Manifest
from registry.errors import BadInput, Fault
from registry.hub.facts import RECORD_FILE, REFUSED_FOLDER
from registry.hub.intake import Reading
from registry.storable import unstorable

_KEPT_REFUSED: Final = frozenset({"README.md", *CONFIG_FILES})


@dataclass(frozen=True)
class MetadataFiles:
    """Hold the manifest, the bytes of each entry, and `seen` with what else was left out."""

    manifest: Manifest
    contents: tuple[tuple[FileEntry, bytes], ...]
    seen: dict[str, Any]


def metadata_files(reading: Reading) -> MetadataFiles:
    """Choose where each text of a reading goes; the record of the commit is always among them."""
    files = {RECORD_FILE: reading.commit.canonical_bytes()}
    left_out = list(reading.seen["left_out"])
    for path, data in sorted(reading.texts.items()):
        faults = text_faults(path, data)
        if not faults:
            files[path] = data
            continue
        reason = "refused: " + " ".join(one.message for one in faults)
        left_out.append({"path": path, "reason": reason[:500]})
        if path in _KEPT_REFUSED and format_fault(path, data[:HEAD_BYTES]) is None:
            files[REFUSED_FOLDER + path] = data
    contents = tuple((_entry(path, data), data) for path, data in sorted(files.items()))
    manifest = Manifest(tuple(entry for entry, _ in contents))
    return MetadataFiles(manifest, contents, {**reading.seen, "left_out": left_out})


def text_faults(path: str, data: bytes) -> tuple[Fault, ...]:
    """Say why the registry would refuse one text, alone."""
    if fault := format_fault(path, data[:HEAD_BYTES]):
        return (fault,)
    if not is_declaring(path):
        return ()
    try:
        declared = declared_facts({path: data})
    except BadInput as error:
        return error.faults
    return tuple(unstorable(declared.to_json(), place=path))


def _entry(path: str, data: bytes) -> FileEntry:
    return FileEntry(path, len(data), hashlib.sha256(data).hexdigest())
