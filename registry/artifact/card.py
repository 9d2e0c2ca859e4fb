"""Gather what a checkpoint's own files declare: licence, parents, datasets, configuration.

These are declarations by whoever made the files, not findings; compliance judges them. Absent
stays absent: nothing here fills in a licence, a parent or a relation that the files do not give.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from registry.artifact.front_matter import front_matter
from registry.artifact.strict_json import parse_json_object
from registry.errors import BadInput, Fault

MAX_CARD_BYTES: Final = 1 << 20
MAX_LICENCE_BYTES: Final = 512 << 10
MAX_CONFIG_BYTES: Final = 1 << 20
MAX_LISTED: Final = 1000
RELATIONS: Final = frozenset(
    {"finetune", "adapter", "merge", "quantized", "distilled", "pruned", "continued_pretrain"}
)
CONFIG_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "adapter_config.json",
)
_REMOTE_CODE_KEYS: Final = frozenset({"auto_map", "trust_remote_code", "custom_pipelines"})
MAX_PROSE_CHARS: Final = 64 << 10
_LICENCE_NAME: Final = re.compile(
    r"(?i)(licen[cs]e|copying|unlicense|(acceptable_)?use[ _-]policy|acceptable[ _-]use)([._-].*)?"
)
_GATES: Final = ("extra_gated_prompt", "extra_gated_description")
_NOTICE_NAME: Final = re.compile(r"(?i)notices?([._-].*)?")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TextFile:
    """Hold one licence or notice file; `text` is None when it is not UTF-8."""

    path: str
    sha256: str
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFacts:
    """Hold what the files declare; None or empty means that they do not say.

    `card_prose` is the card's body, its first MAX_PROSE_CHARS; `gates` are texts shown at a gate.

    Law: `DeclaredFacts.from_json(d.to_json()) == d`.
    """

    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    base_models: tuple[str, ...] = ()
    base_model_relation: str | None = None
    datasets: tuple[str, ...] = ()
    licence_files: tuple[TextFile, ...] = ()
    notice_files: tuple[TextFile, ...] = ()
    architectures: tuple[str, ...] = ()
    model_type: str | None = None
    adapter_base: str | None = None
    card_prose: str | None = None
    gates: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the plain form that is stored with a checkpoint."""
        plain = asdict(self)
        return {key: list(item) if isinstance(item, tuple) else item for key, item in plain.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "DeclaredFacts":
        """Read back what `to_json` gave; unknown members are refused by TypeError."""
        fields = dict(value)
        for name in ("base_models", "datasets", "architectures", "gates"):
            fields[name] = tuple(fields.get(name, ()))
        for name in ("licence_files", "notice_files"):
            fields[name] = tuple(TextFile(**item) for item in fields.get(name, ()))
        return cls(**fields)


def is_declaring(path: str) -> bool:
    """Tell whether a file, by its path, is one that `declared_facts` wants to read."""
    return path == "README.md" or path in CONFIG_FILES or _is_text_file(path)


def declared_facts(files: Mapping[str, bytes]) -> DeclaredFacts:
    """Read the declaring files of a checkpoint, given as {relative path: bytes}.

    Raises: BadInput listing the faults of all files together.
    """
    faults: list[Fault] = []
    card = _collect(faults, partial(_card, files.get("README.md", b"")))
    configs = {
        name: _collect(faults, partial(_config, name, files[name]))
        for name in CONFIG_FILES
        if name in files
    }
    texts = {
        path: item
        for path, data in sorted(files.items())
        if _is_text_file(path) and (item := _collect(faults, partial(_text_file, path, data)))
    }
    facts = _card_facts(card or {}, faults)
    if faults:
        raise BadInput.listing(faults)
    config, adapter = configs.get("config.json") or {}, configs.get("adapter_config.json") or {}
    return DeclaredFacts(
        **facts,
        licence_files=tuple(t for p, t in texts.items() if _LICENCE_NAME.fullmatch(_name(p))),
        notice_files=tuple(t for p, t in texts.items() if _NOTICE_NAME.fullmatch(_name(p))),
        architectures=tuple(a for a in config.get("architectures") or () if isinstance(a, str)),
        model_type=_text_or_none(config.get("model_type")),
        adapter_base=_text_or_none(adapter.get("base_model_name_or_path")),
        card_prose=_prose(files.get("README.md", b"")),
        gates=tuple(one for name in _GATES if (one := _text_or_none((card or {}).get(name)))),
    )


def read_declared(folder: Path) -> DeclaredFacts:
    """Read the declaring files of a checkpoint folder; links are not followed.

    Raises: BadInput.
    """
    wanted = [
        path
        for path in sorted(folder.iterdir())
        if is_declaring(path.name) and path.is_file() and not path.is_symlink()
    ]
    files = {}
    for path in wanted:
        with path.open("rb") as file:
            files[path.name] = file.read(max(MAX_CARD_BYTES, MAX_CONFIG_BYTES) + 1)
    return declared_facts(files)


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json alone, with the same refusals; {} where there is none.

    Raises: BadInput.
    """
    path = folder / "config.json"
    return _config("config.json", path.read_bytes()) if path.is_file() else {}


def parse_config(data: bytes, *, place: str = "config.json") -> dict[str, Any]:
    """Parse a config file, refusing remote code. Raises: BadInput."""
    return _config(place, data)


def _collect(faults: list[Fault], read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except BadInput as error:
        faults.extend(error.faults)
        return None


def _card(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_CARD_BYTES:
        raise _bad("README.md", "card_invalid", f"is larger than {MAX_CARD_BYTES} bytes.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad("README.md", "card_invalid", "is not UTF-8 text.") from error
    return front_matter(text)


def _prose(data: bytes) -> str | None:
    """Give the card's body; the card was read before, so it is text."""
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").lstrip("\ufeff")
    if text.startswith("---"):
        text = text.split("\n---", 1)[1] if "\n---" in text else ""
    return text.strip()[:MAX_PROSE_CHARS].replace("\x00", "") or None


def _config(name: str, data: bytes) -> dict[str, Any]:
    document = parse_json_object(data, place=name, max_bytes=MAX_CONFIG_BYTES)
    faults = [
        Fault(
            name, "remote_code_refused", message, "Remove it; the runtime has its own model code."
        )
        for message in sorted(set(_remote_code(document)))
    ]
    if faults:
        raise BadInput.listing(faults)
    return document


def _remote_code(value: object) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.values())
            for key, inner in item.items():
                if key in _REMOTE_CODE_KEYS and inner:
                    yield f"asks for remote code through {key}."
                if key.startswith("_attn_implementation") and "/" in str(inner):
                    yield f"fetches a kernel from a repository through {key}."


def _text_file(path: str, data: bytes) -> TextFile:
    if len(data) > MAX_LICENCE_BYTES:
        raise _bad(path, "licence_too_large", f"is larger than {MAX_LICENCE_BYTES} bytes.")
    try:
        text: str | None = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    return TextFile(path, hashlib.sha256(data).hexdigest(), text)


def _card_facts(card: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    relation = _one_text(card, "base_model_relation", faults)
    if relation is not None and relation not in RELATIONS:
        allowed = ", ".join(sorted(RELATIONS))
        faults.append(_card_fault("base_model_relation", f"is {relation!r}.", f"Use {allowed}."))
    bases = _texts(card, "base_model", faults)
    for base in bases:
        if not _REPOSITORY.fullmatch(base):
            faults.append(_card_fault("base_model", f"{base!r} is not an org/name.", "Correct it."))
    return {
        # A list means that all bind; compliance reads it as one expression.
        "license": ", ".join(_texts(card, "license", faults)) or None,
        "license_name": _one_text(card, "license_name", faults),
        "license_link": _one_text(card, "license_link", faults),
        "base_models": bases,
        "base_model_relation": relation,
        "datasets": _texts(card, "datasets", faults),
    }


def _one_text(card: Mapping[str, Any], key: str, faults: list[Fault]) -> str | None:
    values = _texts(card, key, faults)
    if len(values) > 1:
        faults.append(_card_fault(key, "has several values.", "Give exactly one."))
    return values[0] if values else None


def _texts(card: Mapping[str, Any], key: str, faults: list[Fault]) -> tuple[str, ...]:
    value = card.get(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if len(values) > MAX_LISTED or not all(isinstance(v, str) and v.strip() for v in values):
        faults.append(_card_fault(key, "must be text, or a list of texts.", "Quote it."))
        return ()
    return tuple(dict.fromkeys(v.strip() for v in values))


def _card_fault(key: str, message: str, remedy: str) -> Fault:
    return Fault(f"README.md {key}", "card_invalid", message, remedy)


def _is_text_file(path: str) -> bool:
    name = _name(path)
    return bool(_LICENCE_NAME.fullmatch(name) or _NOTICE_NAME.fullmatch(name))


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _bad(place: str, code: str, message: str) -> BadInput:
    return BadInput(f"{place} {message}", code=code, place=place, remedy="Correct the file.")
