"""Read licence files and a folder of known licence texts from disk.

A file of the folder counts as a licence's text by its digest, never by its name.
"""

from collections.abc import Mapping
from pathlib import Path

from compliance.rules.catalogue import Library
from compliance.rules.decoding import decode_text
from compliance.rules.facts import LicenceText
from compliance.rules.faults import Fault, InputFaults
from compliance.rules.text import sketch, text_digest
from compliance.rules.text_index import index_of

CODE = "licence_text_invalid"
MAX_BYTES = 1024 * 1024
_MAX_FILES = 1000
_SUFFIXES = frozenset({".txt", ".md", ".license", ""})


def read_licence_file(path: Path) -> LicenceText:
    """Read one licence file; bytes that are no text leave `text` as None.

    Raises:
        InputFaults: code "licence_text_invalid", when it is no file, too large or not readable.
    """
    try:
        if not path.is_file():
            raise _fault(path, "is no file; name a licence file")
        if path.stat().st_size > MAX_BYTES:
            raise _fault(path, f"is larger than {MAX_BYTES} bytes; no licence is")
        raw = path.read_bytes()
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from error
    return LicenceText(path=str(path), text=decode_text(raw))


def _fault(path: Path, message: str) -> InputFaults:
    return InputFaults(CODE, str(path), [Fault(str(path), message)])


def _sketch_of(key: str, library: Library) -> tuple[bytes, ...]:
    return library.licences[key].text_sketch


def known_texts(folder: Path, library: Library) -> Mapping[str, str]:
    """Map catalogue keys to the known texts that a folder holds; other files are passed over.

    Raises:
        InputFaults: code "licence_text_invalid", when the folder does not exist.
    """
    if not folder.is_dir():
        raise _fault(folder, "is no folder; set LICTOR_LICENCE_TEXTS to one that holds texts")
    found: dict[str, str] = {}
    by_digest = index_of(library).by_digest
    for path in sorted(folder.iterdir())[:_MAX_FILES]:
        if path.suffix.casefold() not in _SUFFIXES or not path.is_file():
            continue
        text = None if path.stat().st_size > MAX_BYTES else decode_text(path.read_bytes())
        key = by_digest.get(text_digest(text)) if text else None
        # Of several copies, the one that the sketch was made from; others may lack a title.
        if text and key and (key not in found or sketch(text) == _sketch_of(key, library)):
            found[key] = text
    return found
