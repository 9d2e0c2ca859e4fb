"""The configuration of a guard that stands in front of a model: `lictor.guard/1`.

A guard reads what goes in and what comes out, in stages, and withholds what a stage refuses. Its
identity is the SHA-256 of its RFC 8785 canonical JSON, which a serving permit carries; so every
change, also of a word in a refusal, is another guard. Pure: nothing here asks a model or reads a
pattern beyond checking that it compiles.

The document:

    {"format": "lictor.guard/1", "name": "demo-rules",
     "input": [STAGE...], "output": [STAGE...],
     "refusal": "I can't help with that.",      what a withheld answer says instead
     "window_characters": 200,                  held back of a stream until a stage has read on
     "timeout_seconds": 10}                     a stage that takes longer has failed

A STAGE is one of

    {"kind": "rules", "patterns": [{"name": "...", "pattern": "..."}]}
        refuses a text that an RE2 pattern is found in, without regard to case
    {"kind": "openai", "url": "http://guard:8000/v1", "model": "...", "prompt": "... {text} ...",
     "safe": "^safe", "unsafe": "^unsafe", "api_key_env": "..."}
        asks a guard model, and refuses when the RE2 pattern `unsafe` is found in its answer; an
        answer in which neither is found, or both are, is a failure and lets nothing through
    {"kind": "nemo", "url": "http://rails:8000", "config_id": "..."}
        asks a NeMo Guardrails server (0.24 or later), the rails of this side alone; what it
        would let through in other words is refused, as no stream can be reworded
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import re2
import rfc8785

from registry.errors import BadInput, Fault

FORMAT: Final = "lictor.guard/1"
KINDS: Final = ("rules", "openai", "nemo")
MAX_GUARD_BYTES: Final = 2_000_000
MAX_STAGES: Final = 8
MAX_PATTERNS: Final = 500
MAX_PATTERN_CHARACTERS: Final = 2_000
MAX_TEXT_CHARACTERS: Final = 8_000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_ENVIRONMENT: Final = re.compile(r"LICTOR_GUARD_[A-Z0-9_]{1,80}")
_FIELDS: Final = {
    "": {"format", "name", "input", "output", "refusal", "window_characters", "timeout_seconds"},
    "rules": {"kind", "patterns"},
    "openai": {"kind", "url", "model", "prompt", "safe", "unsafe", "api_key_env"},
    "nemo": {"kind", "url", "config_id"},
}

Kind = Literal["rules", "openai", "nemo"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Name one RE2 pattern; a refusal cites the name and never the text that it was found in."""

    name: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Hold one step of a guard; fields of other kinds are empty."""

    kind: Kind
    patterns: tuple[Pattern, ...] = ()
    url: str = ""
    model: str = ""
    prompt: str = ""
    safe: str = ""
    unsafe: str = ""
    api_key_env: str = ""
    config_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Hold a checked configuration; `document` is what `digest` was made of."""

    name: str
    digest: str
    input: tuple[Stage, ...]
    output: tuple[Stage, ...]
    refusal: str
    window_characters: int
    timeout_seconds: float
    document: Mapping[str, Any]


def guard_digest(document: Mapping[str, Any]) -> str:
    """Return "sha256:<hex>" of the document's RFC 8785 canonical JSON."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(dict(document))).hexdigest()


def read_guard(document: object) -> Guard:
    """Check a configuration.

    Raises: BadInput (guard_invalid) listing every fault with its place.
    """
    if not isinstance(document, dict):
        raise BadInput("A guard is a JSON object.", code="guard_invalid")
    faults = [*_frame_faults(document), *_stages_faults(document)]
    if faults:
        raise BadInput.listing(faults, code="guard_invalid")
    return Guard(
        name=document["name"],
        digest=guard_digest(document),
        input=tuple(_stage(one) for one in document.get("input", [])),
        output=tuple(_stage(one) for one in document.get("output", [])),
        refusal=document["refusal"],
        window_characters=document.get("window_characters", 200),
        timeout_seconds=document.get("timeout_seconds", 10),
        document=document,
    )


def key_names(document: Mapping[str, Any]) -> tuple[str, ...]:
    """List the environment variables that a checked configuration takes keys from."""
    stages = [*document.get("input", []), *document.get("output", [])]
    return tuple(sorted({one["api_key_env"] for one in stages if one.get("api_key_env")}))


def _frame_faults(document: Mapping[str, Any]) -> list[Fault]:
    faults = _unknown("", document, _FIELDS[""])
    if document.get("format") != FORMAT:
        faults.append(_fault("format", f"must be {FORMAT!r}"))
    if not _is_text(document.get("name")) or not _NAME.fullmatch(document["name"]):
        faults.append(_fault("name", "must be lower-case letters, digits, '.', '_' and '-'"))
    if not _is_text(document.get("refusal"), 500):
        faults.append(_fault("refusal", "must say in 1 to 500 characters what a user is told"))
    if not _is_whole(document.get("window_characters", 200), 20, 20_000):
        faults.append(_fault("window_characters", "must be a whole number from 20 to 20000"))
    if not _is_whole(document.get("timeout_seconds", 10), 1, 120):
        faults.append(_fault("timeout_seconds", "must be a whole number from 1 to 120"))
    return faults


def _stages_faults(document: Mapping[str, Any]) -> list[Fault]:
    faults: list[Fault] = []
    count = 0
    for side in ("input", "output"):
        stages = document.get(side, [])
        if not isinstance(stages, list) or len(stages) > MAX_STAGES:
            faults.append(_fault(side, f"must list at most {MAX_STAGES} stages"))
            continue
        count += len(stages)
        for at, stage in enumerate(stages):
            faults.extend(_stage_faults(f"{side}[{at}]", stage))
    if not faults and not count:
        faults.append(_fault("input", "or output must have a stage: this guard reads nothing"))
    return faults


def _stage_faults(place: str, stage: object) -> list[Fault]:
    if not isinstance(stage, dict) or stage.get("kind") not in KINDS:
        return [_fault(f"{place}.kind", f"must be one of {', '.join(KINDS)}")]
    kind = stage["kind"]
    faults = _unknown(f"{place}.", stage, _FIELDS[kind])
    if kind == "rules":
        return faults + _patterns_faults(place, stage.get("patterns"))
    faults.extend(_url_faults(f"{place}.url", stage.get("url")))
    if kind == "nemo":
        if not _is_text(stage.get("config_id"), 200):
            faults.append(_fault(f"{place}.config_id", "must name a configuration of the server"))
        return faults
    return faults + _openai_faults(place, stage)


def _openai_faults(place: str, stage: Mapping[str, Any]) -> list[Fault]:
    faults = []
    if not _is_text(stage.get("model"), 200):
        faults.append(_fault(f"{place}.model", "must name the guard model"))
    if not _is_text(stage.get("prompt")) or stage["prompt"].count("{text}") != 1:
        faults.append(_fault(f"{place}.prompt", "must hold {text} once, where the text goes"))
    for word in ("safe", "unsafe"):
        faults.extend(_pattern_faults(f"{place}.{word}", stage.get(word)))
    variable = stage.get("api_key_env", "")
    if variable and not (isinstance(variable, str) and _ENVIRONMENT.fullmatch(variable)):
        faults.append(
            _fault(f"{place}.api_key_env", "must name a variable that begins with LICTOR_GUARD_")
        )
    return faults


def _patterns_faults(place: str, patterns: object) -> list[Fault]:
    if not isinstance(patterns, list) or not 1 <= len(patterns) <= MAX_PATTERNS:
        return [_fault(f"{place}.patterns", f"must list 1 to {MAX_PATTERNS} patterns")]
    faults: list[Fault] = []
    for at, item in enumerate(patterns):
        where = f"{place}.patterns[{at}]"
        if not isinstance(item, dict) or set(item) != {"name", "pattern"}:
            faults.append(_fault(where, "must have a name and a pattern, and nothing else"))
            continue
        if not _is_text(item["name"], 100):
            faults.append(_fault(f"{where}.name", "must be 1 to 100 characters"))
        faults.extend(_pattern_faults(f"{where}.pattern", item["pattern"]))
    return faults


def _pattern_faults(place: str, pattern: object) -> list[Fault]:
    if not isinstance(pattern, str) or not 1 <= len(pattern) <= MAX_PATTERN_CHARACTERS:
        return [
            _fault(place, f"must be an RE2 pattern of 1 to {MAX_PATTERN_CHARACTERS} characters")
        ]
    try:
        compile_pattern(pattern)
    except re2.error as error:
        return [_fault(place, f"is no RE2 pattern ({_said(error)})")]
    return []


def compile_pattern(pattern: str) -> Any:
    """Compile as the guard will: RE2, so in time linear in the text, without regard to case.

    Raises: re2.error.
    """
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = 8 * 1024 * 1024
    return re2.compile(pattern, options=options)


def _said(error: Exception) -> str:
    words = error.args[0] if error.args else ""
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)


def _url_faults(place: str, url: object) -> list[Fault]:
    try:
        parts = urlsplit(url) if isinstance(url, str) and len(url) <= 2_000 else None
        fits = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fits = False
        parts = None
    if not fits or parts is None:
        return [_fault(place, "must be an http or https address")]
    if parts.username or parts.password or parts.query or parts.fragment:
        return [_fault(place, "must have no user, password, query or fragment")]
    return []


def _unknown(prefix: str, found: Mapping[str, Any], known: set[str]) -> list[Fault]:
    return [
        _fault(f"{prefix}{key}", f"is unknown; known: {', '.join(sorted(known))}")
        for key in sorted(set(found) - known)
    ]


def _is_text(value: object, most: int = MAX_TEXT_CHARACTERS) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= most


def _is_whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _fault(place: str, message: str) -> Fault:
    return Fault(place, "guard_invalid", f"{message}.")


def _stage(found: Mapping[str, Any]) -> Stage:
    patterns = tuple(Pattern(one["name"], one["pattern"]) for one in found.get("patterns", ()))
    named = {
        key: found[key] for key in _FIELDS[found["kind"]] - {"kind", "patterns"} if key in found
    }
    return Stage(kind=found["kind"], patterns=patterns, **named)
