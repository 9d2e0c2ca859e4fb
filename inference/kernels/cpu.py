"""Build and load the kernels in cpu.cpp: convolution, recurrence, paged attention, linear layers.

Owns the compiler's command and the cache of what it made. Layers call `torch.ops.lictor.*` only
after `load` has said True. Knows nothing about models.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

_SOURCE: Final = Path(__file__).with_suffix(".cpp")
# Reordering sums is allowed; assuming that no NaN comes is not: the engine looks for them.
_FLAGS: Final = (
    *("-std=c++20", "-O3", "-march=native", "-ffast-math", "-fno-finite-math-only"),
    *("-fPIC", "-shared"),
)
_BUILD_SECONDS: Final = 300
_LANES: Final = 16
_WIDTHS: Final = frozenset(_LANES * vectors for vectors in (1, 2, 4, 8, 16))
_OPERATORS: Final = ("conv", "scan", "attend")
_lock = threading.Lock()
_loaded: bool | None = None
log = logging.getLogger(__name__)


def load() -> bool:
    """Make the kernels callable, built first where they are not; False where that fails.

    The log says why. Asking again costs nothing. Building takes ten seconds, once a machine.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            try:
                torch.ops.load_library(str(_built()))  # type: ignore[no-untyped-call]
                for name in _OPERATORS:
                    torch.library.register_fake(f"lictor::{name}", _returns_nothing)
                torch.library.register_fake("lictor::linear", _widened)
                _loaded = True
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                log.warning("without fused kernels: %s", _reason(error))
                _loaded = False
        return _loaded


def state_width_fits(width: int) -> bool:
    """Tell whether the recurrence's kernel takes states so wide."""
    return width in _WIDTHS


def _returns_nothing(*_given: object) -> None:
    return None


def _widened(x: Tensor, _weight: int, features: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], features))


def _built() -> Path:
    """Return the library for this source, torch and processor.

    Raises: OSError without a compiler; subprocess.SubprocessError if it fails.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise OSError("no C++ compiler is here (g++ or clang++, or name one in CXX)")
    wanted = "\0".join((_SOURCE.read_text("utf-8"), *_FLAGS, torch.__version__, _processor()))
    folder = _cache_folder()
    library = folder / f"lictor-{hashlib.sha256(wanted.encode()).hexdigest()[:24]}.so"
    if library.is_file():
        return library
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    torch_home = Path(torch.__file__).parent
    with tempfile.TemporaryDirectory(dir=folder) as made:
        target = Path(made) / library.name
        command = [compiler, *_FLAGS, str(_SOURCE), "-I", str(torch_home / "include")]
        command += ["-L", str(torch_home / "lib"), "-ltorch_cpu", "-o", str(target)]
        subprocess.run(  # noqa: S603  the flags are ours; CXX is the operator's
            command, check=True, capture_output=True, timeout=_BUILD_SECONDS
        )
        # Whole or not at all: another process may be building the same.
        target.replace(library)
    return library


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lictor" / "kernels"


def _processor() -> str:
    """Say what `-march=native` would mean here: a shared home may serve several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return torch.backends.cpu.get_cpu_capability()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None)
    if isinstance(said, bytes):
        return said.decode("utf-8", "replace").strip()[:500]
    return str(error)
