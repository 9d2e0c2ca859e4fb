"""Open a checkpoint folder and read pieces of its tensors, block by block, in bounded memory.

Files are read by position into buffers of fixed size, not mapped: a file that is cut short while
it is read is then an error and not the end of the process, and its pages are not ours to count.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from registry.artifact.forensics.dtypes import F32, U8, Scale, widen
from registry.artifact.safetensors import DTYPE_BITS
from registry.artifact.weights import Weights, read_weights
from registry.errors import BadInput

BLOCK_ELEMENTS: Final = 1 << 18
BUFFER_BYTES: Final = 8 * BLOCK_ELEMENTS
# Wider or longer than any matrix of a known model; beyond, a tensor is read as a plain vector, so
# that a hostile shape cannot ask for large work buffers.
MAX_COLUMNS: Final = 1 << 18
MAX_ROWS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class View:
    """Point at consecutive entries of one tensor: `offset` is in bytes from the file's start."""

    raw_name: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    scale: Scale | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.elements * DTYPE_BITS[self.dtype] // 8

    @property
    def is_matrix(self) -> bool:
        """Tell whether it is two-dimensional and of a size that a matrix can have."""
        if len(self.shape) != 2:
            return False
        rows, columns = self.shape
        return 0 < rows <= MAX_ROWS and 0 < columns <= MAX_COLUMNS

    def rows(self, first: int, last: int) -> "View":
        """Take rows of a matrix; a scale goes with them where it is one or one for each row."""
        width = DTYPE_BITS[self.dtype] * self.shape[1] // 8
        scale = self.scale
        if scale is not None and len(scale.values) > 1:
            scale = Scale(scale.values[first:last], 1, scale.columns)
        return replace(
            self,
            shape=(last - first, self.shape[1]),
            offset=self.offset + first * width,
            scale=scale,
        )

    def expert(self, index: int) -> "View":
        """Take one matrix of a fused (experts, out, in) tensor."""
        shape = self.shape[1:]
        size = prod(shape) * DTYPE_BITS[self.dtype] // 8
        return replace(self, shape=shape, offset=self.offset + index * size)


class Source:
    """Keep the shards of one folder open; use it as a context manager.

    Raises: BadInput for a folder without safetensors files, or with invalid ones.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = _weights(folder)
        self._files = [
            os.open(folder / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            for name, _ in self.weights.shards
        ]

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files:
            os.close(file)

    @property
    def state(self) -> str:
        """Digest names, headers, sizes and times of change of all shards, as hex.

        It costs no reading of weights. It tells a set of files that was written anew from the
        one that was compared before; it does not identify a checkpoint.
        """
        hasher = hashlib.sha256()
        for (name, header), file in zip(self.weights.shards, self._files, strict=True):
            status = os.fstat(file)
            head = os.pread(file, header.data_start, 0)
            line = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0"
            hasher.update(line.encode() + hashlib.sha256(head).digest())
        return hasher.hexdigest()

    def views(self) -> Iterator[View]:
        """Yield every tensor, in the order of the data."""
        for shard, (_, header) in enumerate(self.weights.shards):
            for tensor in header.tensors:
                offset = header.data_start + tensor.begin
                yield View(tensor.name, tensor.dtype, tensor.shape, shard, offset)

    def read_bytes(self, view: View, first: int, into: U8) -> None:
        """Fill `into` with a tensor's bytes from byte `first` on.

        Raises: BadInput when the file ends first.
        """
        position, filled = view.offset + first, 0
        target = memoryview(into.data)
        while filled < len(into):
            got = os.preadv(self._files[view.shard], [target[filled:]], position + filled)
            if not got:
                name = self.weights.shards[view.shard][0]
                raise BadInput(
                    f"{name} became shorter while tensor {view.raw_name!r} was read.",
                    code="file_changed",
                    place=name,
                    remedy="Run again when nothing writes to the folder.",
                )
            filled += got


class Reader:
    """Read one source through buffers of its own; one for each thread."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._raw = np.empty(BUFFER_BYTES, dtype=np.uint8)
        self._numbers = np.empty(BLOCK_ELEMENTS, dtype=np.float32)

    def raw(self, view: View, first: int, count: int) -> U8:
        """Read `count` stored bytes from byte `first` on; valid until the next call."""
        into = self._raw[:count]
        self.source.read_bytes(view, first, into)
        return into

    def numbers(self, view: View, first: int, count: int) -> F32:
        """Read `count` entries as float32, flat, without a scale; valid until the next call."""
        out = self._numbers[:count]
        size = DTYPE_BITS[view.dtype] // 8
        widen(self.raw(view, first * size, count * size), view.dtype, out)
        return out

    def rows(self, view: View, first: int, count: int) -> F32:
        """Read rows of a matrix as float32, scaled; valid until the next call."""
        columns = view.shape[1]
        block = self.numbers(view, first * columns, count * columns).reshape(count, columns)
        if view.scale is not None:
            view.scale.apply(block, first)
        return block


def spans(total: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut `total` into (first, count) of at most `step`."""
    for first in range(0, total, step):
        yield first, min(step, total - first)


def _weights(folder: Path) -> Weights:
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is not a folder.",
            code="folder_missing",
            place=str(folder),
            remedy="Give the folder that holds config.json and the weights.",
        )
    weights = read_weights(folder)
    if not weights.parameters:
        raise BadInput(
            f"{folder} has no safetensors weights in it.",
            code="weights_missing",
            place=str(folder),
            remedy="Give a folder with *.safetensors; convert pickled weights first.",
        )
    return weights
