"""Read a suite of prompts: what to ask, in which reasoning modes, and its digest.

A suite is JSON: {"suite", "version", "harmful": [...], "harmless": [...]} and optionally "modes"
(["off"] when left out) and "max_tokens" for each answer. A prompt is a text, or {"prompt",
"category"}: refusals must not be lost in any one category either.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785

from registry.errors import BadInput, Fault

SUITES = Path(__file__).resolve().parent.parent / "suites"
DEFAULT_SUITE = "demo-refusals"
FOLDER_VARIABLE = "LICTOR_SUITES"
MODES = ("off", "on")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")
_MAX_BYTES = 2_000_000
_MAX_PROMPTS = 2_000
_MAX_CATEGORY = 80
_DEFAULT_MAX_TOKENS = 96
_MAX_MAX_TOKENS = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Hold a checked suite; `digest` is over its canonical JSON, so any edit shows."""

    name: str
    version: str
    harmful: tuple[str, ...]
    harmless: tuple[str, ...]
    # As many as there are prompts, "" for none.
    harmful_categories: tuple[str, ...]
    harmless_categories: tuple[str, ...]
    modes: tuple[str, ...]
    max_tokens: int
    digest: str


def load_suite(name: str, *folders: Path) -> Suite:
    """Load one suite by name: a bundled one, or one of the operator's folder.

    Raises: BadInput (suite_unknown, suite_invalid).
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no suite name.", code="suite_unknown", place="suite")
    searched = folders or suite_folders()
    for folder in searched:
        path = folder / f"{name}.json"
        if path.is_file():
            return read_suite(path.read_bytes(), name=name)
    known = sorted({found.stem for folder in searched for found in folder.glob("*.json")})
    raise BadInput(
        f"There is no suite {name!r}; known: {', '.join(known) or 'none'}.",
        code="suite_unknown",
        place="suite",
    )


def suite_folders() -> tuple[Path, ...]:
    """List where suites are: those of this package, then the folder that LICTOR_SUITES names."""
    own = os.environ.get(FOLDER_VARIABLE, "")
    return (SUITES, Path(own)) if own else (SUITES,)


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
        harmful=tuple(_prompt(item) for item in document["harmful"]),
        harmless=tuple(_prompt(item) for item in document["harmless"]),
        harmful_categories=tuple(_category(item) for item in document["harmful"]),
        harmless_categories=tuple(_category(item) for item in document["harmless"]),
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
    if not all(map(_is_prompt, prompts)):
        return 'must hold non-empty texts, or {"prompt", "category"}, only'
    texts = [_prompt(item) for item in prompts]
    if len(set(texts)) != len(texts):
        return "asks a prompt twice, which would count it twice"
    return ""


def _is_prompt(item: object) -> bool:
    if isinstance(item, dict):
        category = item.get("category")
        known = set(item) == {"prompt", "category"} and isinstance(category, str)
        return known and len(str(category)) <= _MAX_CATEGORY and _is_prompt(item["prompt"])
    return isinstance(item, str) and bool(item.strip())


def _prompt(item: Any) -> str:
    return str(item["prompt"] if isinstance(item, dict) else item)


def _category(item: Any) -> str:
    return str(item["category"]) if isinstance(item, dict) else ""
