"""Know how a family of models writes a call of a tool, and read it from what a model generates.

Two ways are known: a list of calls between `<TOOLCALL>` and `</TOOLCALL>` (Nemotron-Nano-v2), and
one call between `<tool_call>` and `</tool_call>` (Hermes, Qwen3). Which one a model uses is seen
in its template, not guessed. Of tokens it knows two: those that are a marker as a whole.
"""

import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from inference.chat.scan import StopScanner

MAX_MARKUP_CHARS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """The markers of a call; between them one call, or a list of them."""

    name: Literal["toolcall-list", "tool-call"]
    opener: str
    closer: str
    is_list: bool

    def pattern(self) -> re.Pattern[str]:
        """Return what finds the calls in a text; group 1 is the JSON."""
        return re.compile(
            re.escape(self.opener) + r"\s*(.*?)\s*" + re.escape(self.closer), re.DOTALL
        )


SYNTAXES: Final = (
    CallSyntax("toolcall-list", "<TOOLCALL>", "</TOOLCALL>", is_list=True),
    CallSyntax("tool-call", "<tool_call>", "</tool_call>", is_list=False),
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call the model made: `arguments` is a JSON object, written out."""

    id: str
    name: str
    arguments: str


class Malformed(ValueError):  # noqa: N818  the name says what it is
    """What stands between the markers is no call of an offered function."""


def read_calls(text: str, syntax: CallSyntax, names: Collection[str]) -> list[Call]:
    """Read what stands between the markers.

    Raises: Malformed.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error
    if not syntax.is_list:
        value = [value]
    if not isinstance(value, list) or not value:
        raise Malformed("no list of calls")
    return [_call(item, names) for item in value]


def _call(item: Any, names: Collection[str]) -> Call:
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(name, str) or name not in names:
        raise Malformed("no call of an offered function")
    arguments = item.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _object_in(arguments)
    if not isinstance(arguments, dict) or set(item) - {"name", "arguments"}:
        raise Malformed("arguments are not an object")
    return Call("call_" + secrets.token_hex(12), name, json.dumps(arguments, ensure_ascii=False))


def _object_in(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class JsonEnd:
    """Find a marker behind JSON as it streams: one inside a string does not count.

    An empty marker is never found; the text is only kept.
    """

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self._at = 0
        self._in_string = False
        self.text = ""

    def push(self, text: str) -> tuple[str, str] | None:
        """Return the JSON and what follows the marker, once that is there."""
        self.text += text
        if not self._marker:
            return None
        while self._at < len(self.text):
            letter = self.text[self._at]
            if self._in_string:
                if letter == "\\":
                    if self._at + 1 == len(self.text):
                        return None
                    self._at += 1
                self._in_string = letter != '"'
            elif self.text.startswith(self._marker, self._at):
                return self.text[: self._at], self.text[self._at + len(self._marker) :]
            elif self._marker.startswith(self.text[self._at :]):
                return None
            else:
                self._in_string = letter == '"'
            self._at += 1
        return None


class CallReader:
    """Part the text of an answer from the calls in it, as it streams.

    A marker that the tokenizer has as one token is that token; its letters are text. Laws: no
    text is lost, only markers around what was read as a call; without a marker in it, text comes
    out as it went in.
    """

    def __init__(
        self, syntax: CallSyntax, names: Collection[str], control_ids: Mapping[str, int]
    ) -> None:
        self._syntax = syntax
        self._names = frozenset(names)
        self._opener_id = control_ids.get(syntax.opener)
        self._closer_id = control_ids.get(syntax.closer)
        self._opener = self._new_opener()
        self._body: JsonEnd | None = None

    def push(self, text: str) -> list[str | Call]:
        """Take text of the answer; return what is certain now, in order."""
        items: list[str | Call] = []
        while text:
            if self._body is None:
                before, text = self._outside(text)
                items += [before] if before else []
                continue
            ended = self._body.push(text)
            if ended is None:
                too_long = len(self._body.text) > MAX_MARKUP_CHARS
                return items + (self._given_up() if too_long else [])
            self._body, text = None, ended[1]
            items += self._read(ended[0])
        return items

    def mark(self, token_id: int) -> list[str | Call]:
        """Take a control token, which may be a marker."""
        if token_id == self._opener_id:
            unfinished = self._given_up()
            self._body = self._new_body()
            return unfinished
        if token_id == self._closer_id and self._body is not None:
            body, self._body = self._body.text, None
            return self._read(body)
        return []

    def finish(self) -> list[str | Call]:
        """Return what was held back: a call that lacks only its closing marker is a call."""
        if self._body is None:
            return [held] if (held := self._opener.flush()) else []
        body, self._body = self._body.text, None
        closer = self._syntax.closer
        ends = (len(body) - n for n in range(len(closer)) if body.endswith(closer[:n]))
        for end in ends:
            try:
                return [*read_calls(body[:end], self._syntax, self._names)]
            except Malformed:
                continue
        return [self._syntax.opener + body]

    def _outside(self, text: str) -> tuple[str, str]:
        """Return the text before an opening marker, and the text behind it."""
        before = self._opener.push(text)
        if self._opener.found is None:
            return before, ""
        rest, self._opener, self._body = self._opener.rest, self._new_opener(), self._new_body()
        return before, rest

    def _read(self, body: str) -> list[str | Call]:
        try:
            return [*read_calls(body, self._syntax, self._names)]
        except Malformed:
            return [self._syntax.opener + body + self._syntax.closer]

    def _given_up(self) -> list[str | Call]:
        body, self._body = self._body, None
        return [] if body is None else [self._syntax.opener + body.text]

    def _new_opener(self) -> StopScanner:
        return StopScanner([] if self._opener_id is not None else [self._syntax.opener])

    def _new_body(self) -> JsonEnd:
        return JsonEnd("" if self._closer_id is not None else self._syntax.closer)
