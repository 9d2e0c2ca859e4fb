"""Read safetensors headers strictly, and stream the bytes of one tensor.

Stricter than the library: a header of at most 16 MiB and 200,000 tensors, no repeated keys, and
tensors that cover the data exactly, without holes, overlap or rest. Sizes in a header are claims;
each is checked against the file. Nothing is unpickled, and no tensor is loaded to read a header.

Source: the safetensors format description.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, Final

from registry.errors import BadInput

MAX_HEADER_BYTES: Final = 16 << 20
MAX_TENSORS: Final = 200_000
MAX_DIMENSIONS: Final = 16
_MAX_INT: Final = 2**63 - 1
_PREFIX_BYTES: Final = 8

DTYPE_BITS: Final[dict[str, int]] = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Describe one tensor; `begin` and `end` are byte offsets into the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def parameters(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Header:
    """Hold what a header says, tensors in the order of their data; `data_start` is in bytes."""

    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, str]
    data_start: int

    @property
    def parameters(self) -> int:
        return sum(tensor.parameters for tensor in self.tensors)

    @property
    def data_bytes(self) -> int:
        return self.tensors[-1].end if self.tensors else 0

    def tensor(self, name: str) -> TensorInfo | None:
        """Find one tensor by name, or None."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)


def read_header(file: BinaryIO, *, place: str = "") -> Header:
    """Read and check the header of a seekable binary file; `place` names it in errors.

    Raises: BadInput (code safetensors_invalid) for anything but a well-formed file.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    prefix = file.read(_PREFIX_BYTES)
    if len(prefix) < _PREFIX_BYTES:
        raise _invalid(place, "is shorter than the 8 bytes that give the header's length.")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER_BYTES:
        raise _invalid(place, f"claims a header of {length} bytes; at most {MAX_HEADER_BYTES}.")
    if length > size - _PREFIX_BYTES:
        raise _invalid(place, f"claims a header of {length} bytes but has only {size} bytes.")
    document = _parse(file.read(length), place)
    metadata = _metadata(document.pop("__metadata__", {}), place)
    if len(document) > MAX_TENSORS:
        raise _invalid(place, f"lists more than {MAX_TENSORS} tensors.")
    data_start = _PREFIX_BYTES + length
    tensors = sorted(
        (_tensor(name, entry, place) for name, entry in document.items()),
        key=lambda tensor: (tensor.begin, tensor.end),
    )
    _check_cover(tensors, size - data_start, place)
    return Header(tuple(tensors), metadata, data_start)


def tensor_chunks(
    file: BinaryIO, header: Header, tensor: TensorInfo, *, chunk_bytes: int = 1 << 22
) -> Iterator[bytes]:
    """Yield one tensor's little-endian bytes in order, in chunks of at most `chunk_bytes`.

    Raises: BadInput when the file ends early, as it does if it was cut after its header was read.
    """
    position, end = header.data_start + tensor.begin, header.data_start + tensor.end
    while position < end:
        file.seek(position)
        chunk = file.read(min(chunk_bytes, end - position))
        if not chunk:
            raise _invalid(tensor.name, "ends before the tensor does.")
        position += len(chunk)
        yield chunk


def _parse(raw: bytes, place: str) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        raise _invalid(place, "has a header that does not begin with '{'.")
    # Each tensor opens one object and two lists; counting first bounds the parser's memory.
    if raw.count(b"{") + raw.count(b"[") > 4 * MAX_TENSORS:
        raise _invalid(place, f"lists more than {MAX_TENSORS} tensors.")
    try:
        text = raw.decode("utf-8")
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _HeaderFaultError) else "is not JSON in UTF-8"
        raise _invalid(place, f"has a header that {reason}.") from error
    if not isinstance(document, dict):
        raise _invalid(place, "has a header that is not an object.")
    return document


class _HeaderFaultError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _HeaderFaultError("repeats a key")
    return found


def _no_constant(text: str) -> None:
    raise _HeaderFaultError(f"holds {text}")


def _metadata(value: object, place: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _invalid(place, "has __metadata__ that is not a map of strings to strings.")
    return value


def _tensor(name: str, entry: object, place: str) -> TensorInfo:
    where = f"{place}: tensor {name[:200]!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _invalid(where, "must have exactly dtype, shape and data_offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _invalid(where, "has a dtype that is not known.")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS or prod(shape) > _MAX_INT:
        raise _invalid(where, "has a shape that is not a short list of sizes.")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise _invalid(where, "has data_offsets that are not two positions.")
    begin, end = offsets
    if prod(shape) * DTYPE_BITS[dtype] != (end - begin) * 8:
        raise _invalid(where, "takes another number of bytes than its shape and dtype need.")
    return TensorInfo(name, dtype, tuple(shape), begin, end)


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item <= _MAX_INT for item in value
    )


def _check_cover(tensors: list[TensorInfo], data_bytes: int, place: str) -> None:
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            kind = "a hole" if tensor.begin > position else "an overlap"
            raise _invalid(place, f"has {kind} in its data before tensor {tensor.name[:200]!r}.")
        position = tensor.end
    if position != data_bytes:
        raise _invalid(place, f"describes {position} bytes of data but holds {data_bytes}.")


def _invalid(place: str, message: str) -> BadInput:
    return BadInput(
        f"{place or 'the file'} {message}",
        code="safetensors_invalid",
        place=place,
        remedy="Write the file again with the safetensors library.",
    )
