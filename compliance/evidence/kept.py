"""Keep readings of models by what they depend on, so that a base is asked once for all derivatives.

A reading depends on the checkpoint, the suite, the sampling, the code that runs the model and the
rule that reads it; all five name the file. Greedy answers of one checkpoint under one code are the
same, up to what a processor rounds differently in another batch.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import rfc8785

from compliance.evidence import refusal
from compliance.evidence.journal import Journal


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of kept readings, and the digests of the models of one measurement by name."""

    folder: Path
    digests: Mapping[str, str]

    def journal(self, name: str, sampling: Mapping[str, Any]) -> Journal:
        bound_to = {
            "checkpoint": self.digests[name],
            "method": refusal.METHOD,
            "runtime": runtime_digest(),
            **sampling,
        }
        key = hashlib.sha256(rfc8785.dumps(bound_to)).hexdigest()
        return Journal(self.folder / f"{key[:40]}.jsonl", bound_to)


@cache
def runtime_digest() -> str:
    """Return "sha256:<hex>" over the runtime's own files; it is found and not imported."""
    found = find_spec("inference")
    whole = hashlib.sha256()
    for place in (found.submodule_search_locations or ()) if found else ():
        root = Path(place)
        for path in sorted([*root.rglob("*.py"), *root.rglob("*.cpp")]):
            whole.update(path.relative_to(root).as_posix().encode() + b"\0")
            whole.update(path.read_bytes() + b"\0")
    return "sha256:" + whole.hexdigest()
