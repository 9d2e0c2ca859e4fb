"""Read a suite of prompts: what to ask, in which reasoning modes, and its digest.

A suite is JSON: {"suite", "version", "harmful": [...], "harmless": [...]} and optionally "modes"
(["off"] when left out) and "max_tokens" for each answer.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785

from registry.errors import BadInput, Fault

SUITES = Path(__file__).resolve().parent.parent / "suites"
DEFAULT_SUITE = "demo-refusals"
MODES = ("off", "on")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")
_MAX_BYTES = 2_000_000
_MAX_PROMPTS = 2_000
_DEFAULT_MAX_TOKENS = 96
_MAX_MAX_TOKENS = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Hold a checked suite; `digest` is over its canonical JSON, so any edit shows."""

    name: str
    version: str
    harmful: tuple[str, ...]
    harmless: tuple[str, ...]
    modes: tuple[str, ...]
    max_tokens: int
    digest: str


def load_suite(name: str, folder: Path = SUITES) -> Suite:
    """Load one suite by name.

    Raises: BadInput (suite_unknown, suite_invalid).
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no suite name.", code="suite_unknown", place="suite")
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.json"))) or "none"
        raise BadInput(
            f"There is no suite {name!r}; known: {known}.", code="suite_unknown", place="suite"
        )
    return read_suite(path.read_bytes(), name=name)


def read_suite(data: bytes, *, name: str) -> Suite:
    """Check the bytes of a suite file.

    Raises: BadInput (suite_invalid) listing every fault.
    """
    document = _document(data, name)
    faults = _faults(document, name)
    if faults:
        raise BadInput.listing(faults, code="suite_invalid")
    return Suite(
        name=document["suite"],
        version=str(document["version"]),
        harmful=tuple(document["harmful"]),
        harmless=tuple(document["harmless"]),
        modes=tuple(document.get("modes", ("off",))),
        max_tokens=document.get("max_tokens", _DEFAULT_MAX_TOKENS),
        digest="sha256:" + hashlib.sha256(rfc8785.dumps(document)).hexdigest(),
    )


def _document(data: bytes, name: str) -> dict[str, Any]:
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError(f"{len(data)} bytes; at most {_MAX_BYTES} are read")
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"Suite {name}: {error}.", code="suite_invalid", place=name) from None
    if not isinstance(document, dict):
        raise BadInput(f"Suite {name} must be an object.", code="suite_invalid", place=name)
    return document


def _faults(document: dict[str, Any], name: str) -> list[Fault]:
    faults = [_fault(key, "is required") for key in ("suite", "version") if not document.get(key)]
    if document.get("suite") not in (None, name):
        faults.append(_fault("suite", f"must equal the file's name, {name!r}"))
    for key in ("harmful", "harmless"):
        if message := _prompts_fault(document.get(key)):
            faults.append(_fault(key, message))
    modes = document.get("modes", ["off"])
    if not isinstance(modes, list) or not modes or not set(modes) <= set(MODES):
        faults.append(_fault("modes", f"must list some of {', '.join(MODES)}"))
    limit = document.get("max_tokens", _DEFAULT_MAX_TOKENS)
    if type(limit) is not int or not 1 <= limit <= _MAX_MAX_TOKENS:
        faults.append(_fault("max_tokens", f"must be 1 to {_MAX_MAX_TOKENS}"))
    return faults


def _fault(key: str, message: str) -> Fault:
    return Fault(key, "suite_invalid", f"{message}.")


def _prompts_fault(prompts: object) -> str:
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= _MAX_PROMPTS:
        return f"must be a list of 1 to {_MAX_PROMPTS} prompts"
    if not all(isinstance(prompt, str) and prompt.strip() for prompt in prompts):
        return "must hold non-empty strings only"
    if len(set(prompts)) != len(prompts):
        return "asks a prompt twice, which would count it twice"
    return ""
