"""List the files beside the weights that matter to safety and differ, by their digests."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

SAFETY_RELEVANT: Final = (
    "chat_template*",
    "config.json",
    "adapter_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "preprocessor_config.json",
    "model_index.json",
    "*.py",
    "*.co",
    "config.yml",
    "config.yaml",
)


def is_safety_relevant(path: str) -> bool:
    """Tell whether a file of this name, in whatever folder, can hold or switch off a mechanism."""
    name = path.rpartition("/")[2].casefold()
    return any(fnmatchcase(name, pattern) for pattern in SAFETY_RELEVANT)


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, Any]]:
    """Compare two maps of path to digest; gives {"file", "change"} sorted by file.

    `change` is "added", "removed" or "changed".
    """
    return [
        {"file": path, "change": _how(before.get(path), after.get(path))}
        for path in sorted(before.keys() | after.keys())
        if is_safety_relevant(path) and before.get(path) != after.get(path)
    ]


def _how(before: str | None, after: str | None) -> str:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"
