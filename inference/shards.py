"""Read safetensors files once, from start to end: the bytes that are hashed are those used.

One tensor at a time is in memory besides what the caller keeps. Owns files, digests and progress;
knows nothing about models.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import torch
from torch import Tensor

from registry.artifact.safetensors import TensorInfo, read_header
from registry.artifact.weights import INDEX_SUFFIX, Weights, read_weights
from registry.errors import BadInput

log = logging.getLogger(__name__)

_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_DTYPES: Final = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_CHUNK_BYTES: Final = 16 << 20
_CHUNK_VALUES: Final = 1 << 20
_GIB: Final = 2**30

Digests = Mapping[str, str] | None
Take = Callable[[str, Tensor], None]


class CheckpointUnusable(ValueError):  # noqa: N818  the name says what happened
    """The folder cannot be loaded: says which file, what is wrong and what to do."""


class Progress:
    """Log how far a load is, in GiB and seconds, at most every `every_seconds`."""

    def __init__(self, total_bytes: int, *, every_seconds: float = 5.0) -> None:
        self._total = total_bytes
        self._every = every_seconds
        self._began = self._logged = time.monotonic()
        self._done = 0

    def add(self, count_bytes: int) -> None:
        self._done += count_bytes
        if time.monotonic() - self._logged >= self._every:
            self.log()

    def log(self) -> None:
        self._logged = time.monotonic()
        log.info(
            "read %.2f of %.2f GiB of weights in %.1f s",
            self._done / _GIB,
            self._total / _GIB,
            self._logged - self._began,
        )


class _HashedFile:
    """A file that is read once and in order, and hashed as it is read."""

    def __init__(self, file: BinaryIO, progress: Progress, *, hashing: bool) -> None:
        self._file = file
        self._progress = progress
        self._sha256 = hashlib.sha256() if hashing else None
        self._read = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int) -> bytes:
        self._file.seek(self._read)
        data = self._file.read(size)
        self._note(data)
        return data

    def read_into(self, view: memoryview) -> bool:
        """Fill `view`; False if the file ends before."""
        self._file.seek(self._read)
        while view:
            count: int = self._file.readinto(view[:_CHUNK_BYTES])  # type: ignore[attr-defined]
            if not count:
                return False
            self._note(view[:count])
            view = view[count:]
        return True

    def digest(self) -> str | None:
        """Return the hex SHA-256 of the whole file, reading what is left; None if not hashing."""
        if self._sha256 is None:
            return None
        while self.read(_CHUNK_BYTES):
            pass
        return self._sha256.hexdigest()

    def _note(self, data: bytes | memoryview) -> None:
        if self._sha256 is not None:
            self._sha256.update(data)
        self._read += len(data)
        self._progress.add(len(data))


def read_file(folder: Path, path: str, digests: Digests) -> bytes:
    """Read a small file whole. Raises: CheckpointUnusable unless it is the approved one."""
    try:
        data = (folder / path).read_bytes()
    except OSError as error:
        raise CheckpointUnusable(f"{path} cannot be read: {error}") from error
    if digests is not None:
        _check_digest(path, hashlib.sha256(data).hexdigest(), digests)
    return data


def weights_of(folder: Path, digests: Digests) -> Weights:
    """Read what the folder's weight files say they hold, and hold an index to it.

    Raises: CheckpointUnusable for pickles, no weights, a header that is wrong, a tensor in two
    files, or an index that names other files or tensors than are there.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if pickles := [name for name in names if name.endswith(_PICKLES)]:
        raise CheckpointUnusable(f"{pickles[0]} can hold a pickle; use safetensors")
    for name in names:
        if name.endswith(INDEX_SUFFIX):
            read_file(folder, name, digests)
    try:
        weights = read_weights(folder)
    except BadInput as error:
        more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
        raise CheckpointUnusable(f"{error.faults[0]}{more}") from error
    if not weights.shards:
        raise CheckpointUnusable(f"{folder} has no safetensors files")
    return weights


def read_shard(
    folder: Path, path: str, *, digests: Digests, progress: Progress, take: Take
) -> None:
    """Give `take` each tensor of a file, by name, in the order of the file.

    The digest is known only when all is read, so what was taken is to be thrown away where this
    raises. A file that is not the approved one is told as that, whatever else is wrong with it.

    Raises: CheckpointUnusable, also when `take` does.
    """
    try:
        with (folder / path).open("rb", buffering=0) as raw:
            file = _HashedFile(cast(BinaryIO, raw), progress, hashing=digests is not None)
            try:
                _give_tensors(file, path, take)
            except CheckpointUnusable:
                _check_digest(path, file.digest(), digests)
                raise
            _check_digest(path, file.digest(), digests)
    except OSError as error:
        raise CheckpointUnusable(f"{path} cannot be read: {error}") from error


def _give_tensors(file: _HashedFile, path: str, take: Take) -> None:
    try:
        header = read_header(cast(BinaryIO, file), place=path)
    except BadInput as error:
        raise CheckpointUnusable(error.detail) from error
    for info in header.tensors:
        take(info.name, _tensor(file, path, info))


def _tensor(file: _HashedFile, path: str, info: TensorInfo) -> Tensor:
    if info.dtype not in _DTYPES:
        # Copied into a float parameter, quantised values would load without their scales.
        raise CheckpointUnusable(
            f"{path}: tensor {info.name} is {info.dtype}; quantised weights are not supported"
        )
    tensor = torch.empty(info.shape, dtype=_DTYPES[info.dtype])
    values = tensor.view(-1)
    # Into the tensor's own memory: no copy of the bytes is made on the way.
    view: Any = values.view(torch.uint8).numpy()
    if not file.read_into(memoryview(view)):
        raise CheckpointUnusable(f"{path} ends before tensor {info.name} does")
    if not all(bool(part.isfinite().all()) for part in torch.split(values, _CHUNK_VALUES)):
        raise CheckpointUnusable(f"{path}: tensor {info.name} holds values that are not finite")
    return tensor


def _check_digest(path: str, found: str | None, digests: Digests) -> None:
    if digests is not None and digests.get(path) != found:
        approved = digests.get(path, "no such file")
        raise CheckpointUnusable(f"{path} has SHA-256 {found}; approved is {approved}")
