"""Keep what callers say out of a template's sight: a mark stands for each text, inside JSON too.

Law: a text comes back exactly as it was said, escaped as often as its mark stood inside a JSON
string; nothing in it can meet what the template writes before both are put together.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# Words of JSON schema, which templates ask about (`type == 'string'`): they are shown as they
# are. None of them is, or is part of, a control token or a toggle word.
SCHEMA_WORDS: Final = frozenset(
    {
        *("type", "function", "name", "description", "parameters", "strict", "title"),
        *("string", "number", "integer", "boolean", "object", "array", "null"),
        *("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
        *("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
        *("enum", "const", "default", "examples", "nullable", "format", "pattern"),
        *("minLength", "maxLength", "minimum", "maximum", "multipleOf"),
        *("exclusiveMinimum", "exclusiveMaximum"),
        *("anyOf", "allOf", "oneOf", "not", "$ref", "$defs", "definitions"),
    }
)


@dataclass(frozen=True, slots=True)
class Said:
    """A text and who said it; `role` decides how a template trims it."""

    role: str
    text: str


class Marks:
    """The marks of one rendering."""

    def __init__(self) -> None:
        self._nonce = secrets.token_hex(12)
        self._said: list[Said] = []
        self._numbers: dict[str, int] = {}
        self._pattern = re.compile(f"x{self._nonce}n([0-9]+)e([0-9]+)x")

    def mark(self, text: str, role: str = "") -> str:
        """Return a new mark for a text; an empty text needs none."""
        return self._mark(self._add(Said(role, text))) if text else ""

    def shared(self, text: str) -> str:
        """Return the mark of a text that templates may compare: the same for the same."""
        if not text:
            return ""
        if text not in self._numbers:
            self._numbers[text] = self._add(Said("", text))
        return self._mark(self._numbers[text])

    def value(self, value: Any, *, words: frozenset[str] = frozenset()) -> Any:
        """Return a JSON value with every string in it marked, names too, but for `words`."""
        if isinstance(value, str):
            return value if value in words else self.shared(value)
        if isinstance(value, Mapping):
            return {
                self.value(name, words=words): self.value(item, words=words)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(item, words=words) for item in value]
        return value

    def parts(self, rendered: str) -> list[str | tuple[Said, int]]:
        """Return the text cut at its marks: what was said, and inside how many JSON strings."""
        cut = self._pattern.split(rendered)
        parts: list[str | tuple[Said, int]] = []
        for index in range(0, len(cut), 3):
            parts.append(cut[index])
            if index + 2 < len(cut):
                parts.append((self._said[int(cut[index + 1])], int(cut[index + 2])))
        return parts

    def _add(self, said: Said) -> int:
        self._said.append(said)
        return len(self._said) - 1

    def _mark(self, number: int) -> str:
        return f"x{self._nonce}n{number}e0x"


def stands_in(rendered: str, mark: str) -> bool:
    """Tell whether a mark is in a text, escaped or not."""
    return mark.removesuffix("0x") in rendered


def escaped(text: str, times: int) -> str:
    """Return a text as it stands inside JSON strings, one inside the other."""
    for _ in range(times):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    return text
