"""Tell by name and first bytes whether a file may be part of a checkpoint at all.

Allowed: UTF-8 text, safetensors, and a short list of binary formats that hold no code. Anything
else is refused, above all pickles (loading one runs its author's code) and archives (what is
inside cannot be named in a manifest). Nothing here parses or loads what it judges.
"""

import re
from typing import Final

from registry.errors import Fault

HEAD_BYTES: Final = 4096

_PICKLE_SUFFIXES: Final = [
    ".bin",
    ".pt",
    ".pth",
    ".pkl",
    ".pickle",
    ".ckpt",
    ".joblib",
    ".dill",
    ".cloudpickle",
    ".npz",
    ".npy",
    ".h5",
    ".hdf5",
    ".keras",
    ".pb",
]
_ARCHIVE_SUFFIXES: Final = [
    ".zip",
    ".tar",
    ".tgz",
    ".tbz2",
    ".txz",
    ".gz",
    ".bz2",
    ".xz",
    ".zst",
    ".lz4",
    ".7z",
    ".rar",
    ".nemo",
    ".mar",
    ".whl",
    ".jar",
    ".egg",
]
_ARCHIVE_MAGIC: Final = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x07\x08",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
)
_TAR_MAGIC_AT: Final = 257
_BINARY_PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")
# Protocols 0 and 1 are text: a global import (`cposix\nsystem\n`) or a marked dict or list.
_TEXT_PICKLE: Final = re.compile(rb"\(?c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|\((?:d|l)p\d+\n")

# Formats that are binary and hold no code, each with the bytes it must begin with.
_BINARY_FORMATS: Final[dict[str, tuple[bytes, ...]]] = {
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".gif": (b"GIF87a", b"GIF89a"),
    ".webp": (b"RIFF",),
    ".pdf": (b"%PDF-",),
    ".model": (b"\n",),
    ".spm": (b"\n",),
}


def format_fault(path: str, head: bytes) -> Fault | None:
    """Say why this file is refused, or None; `head` is its first HEAD_BYTES bytes or all of it."""
    suffix = _suffix(path)
    if suffix in _PICKLE_SUFFIXES:
        return _pickle(path, f"{suffix} files can hold a pickle")
    if suffix in _ARCHIVE_SUFFIXES:
        return _archive(path, f"{suffix} files are archives")
    if suffix == ".safetensors":
        return _safetensors_fault(path, head)
    return _content_fault(path, suffix, head)


def _content_fault(path: str, suffix: str, head: bytes) -> Fault | None:
    if _BINARY_PICKLE.match(head) or _TEXT_PICKLE.match(head):
        return _pickle(path, "its first bytes are a pickle")
    if head.startswith(_ARCHIVE_MAGIC) or head[_TAR_MAGIC_AT:].startswith(b"ustar"):
        if b"data.pkl" in head:
            return _pickle(path, "it is a zip file with a pickle inside, as torch.save writes")
        return _archive(path, "its first bytes are an archive")
    if _is_text(head) or head.startswith(_BINARY_FORMATS.get(suffix, ())):
        return None
    return Fault(
        path,
        "format_refused",
        "is neither text nor a known binary format.",
        "Keep safetensors weights, text files and pictures only.",
    )


def _safetensors_fault(path: str, head: bytes) -> Fault | None:
    # A header length can look like a pickle or gzip mark, so only the structure counts here.
    if len(head) > 8 and head[8:9] == b"{":
        return None
    return Fault(
        path,
        "safetensors_invalid",
        "does not begin as a safetensors file does.",
        "Write it again with the safetensors library.",
    )


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A letter of several bytes may be cut off where the head ends.
        return len(head) == HEAD_BYTES and error.start > HEAD_BYTES - 4
    return True


def _suffix(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    return "." + name.rsplit(".", 1)[1] if "." in name else ""


def _pickle(path: str, reason: str) -> Fault:
    return Fault(
        path,
        "pickle_refused",
        f"{reason}, and loading a pickle runs code.",
        "Convert the weights to safetensors.",
    )


def _archive(path: str, reason: str) -> Fault:
    return Fault(
        path,
        "archive_refused",
        f"{reason}, whose contents a manifest cannot name.",
        "Unpack it and register the files.",
    )
