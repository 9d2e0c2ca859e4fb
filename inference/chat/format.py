"""One checkpoint's conversation format: its template, its tokenizer, its stop ids.

Reads files that the loader has already checked against the manifest. This is the one object the
server needs to go from messages to token ids and back.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inference.chat.calls import CallReader
from inference.chat.constraint import GrammarConstraint, Grammars
from inference.chat.encode import PromptEncoder
from inference.chat.grammar import answer_grammar
from inference.chat.messages import without_toggle_words
from inference.chat.output import AnswerParser
from inference.chat.template import ChatTemplate
from inference.chat.tools import NO_TOOLS, ToolWish
from inference.chat.turns import CLOSER, OPENER, Turn
from inference.contract import RenderingFailed, RequestRefused
from inference.reasoning import Profile, ReasoningSetting

MAX_FILE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, its text, and whether the model starts inside a thought."""

    ids: tuple[int, ...]
    text: str
    starts_in_thought: bool


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """What an answer may be: calls of the offered tools, JSON of a schema, or free text."""

    tools: ToolWish = NO_TOOLS
    schema: Mapping[str, Any] | None = None


FREE: Final = AnswerShape()


class ChatFormat:
    def __init__(
        self,
        tokenizer_json: str,
        *,
        template: str | None,
        specials: Mapping[str, str],
        stop_ids: Sequence[int],
        context_tokens: int,
    ) -> None:
        self.encoder = PromptEncoder(tokenizer_json)
        self.stop_ids = tuple(stop_ids)
        tokenizer = self.encoder.tokenizer
        self.newline_ids = tuple(
            token_id
            for token_id in range(tokenizer.get_vocab_size())
            if str(tokenizer.decode([token_id], skip_special_tokens=False)).endswith("\n")
        )
        self._grammars = Grammars(
            tokenizer_json, control_ids=self.encoder.control_ids, stop_ids=self.stop_ids
        )
        self.template = (
            None
            if template is None
            else ChatTemplate(template, specials=specials, context_tokens=context_tokens)
        )

    @property
    def profile(self) -> Profile:
        return self.template.profile if self.template else Profile("none", "off")

    @property
    def closer_ids(self) -> tuple[int, ...]:
        """Token ids that end a thought."""
        single = self.encoder.control_ids.get(CLOSER)
        if single is not None:
            return (single,)
        return tuple(self.encoder.tokenizer.encode(CLOSER, add_special_tokens=False).ids)

    @property
    def opener_ids(self) -> tuple[int, ...]:
        """Token ids by which the model opens a thought itself; empty where nothing would see it."""
        opener = self.encoder.control_ids.get(OPENER)
        return () if opener is None else (opener,)

    def check_vocabulary(self, rows: int) -> None:
        """Return if every token id has a row among the model's `rows`.

        Raises: RenderingFailed; to be asked when a checkpoint is loaded, not for each request.
        """
        ids = self.encoder.tokenizer.get_vocab(with_added_tokens=True).values()
        highest = max((*ids, *self.stop_ids), default=-1)
        if highest >= rows:
            raise RenderingFailed(
                f"the tokenizer or generation_config.json has token id {highest}, but the weights "
                f"have {rows} rows; the tokenizer does not belong to these weights"
            )

    def text_of(self, token_id: int) -> str:
        """Return one token's text, with replacement characters for a part of a character."""
        return str(self.encoder.tokenizer.decode([token_id], skip_special_tokens=False))

    def chat_prompt(
        self, turns: Sequence[Turn], setting: ReasoningSetting, shape: AnswerShape = FREE
    ) -> Prompt:
        """Render and encode one conversation.

        Raises: RequestRefused without a template, or where the template refuses the turns;
        ToolsNotSupported where it has no place for tools.
        """
        if self.template is None:
            raise RequestRefused(
                "this checkpoint has no chat template; use /v1/completions", param="messages"
            )
        if setting.strip_toggle_words:
            turns = without_toggle_words(turns)
        rendered = self.template.render(turns, setting.mode, shape.tools.tools)
        ids = self.encoder.encode(rendered.pieces)
        return Prompt(tuple(ids), rendered.text, rendered.starts_in_thought)

    def text_prompt(self, text: str) -> Prompt:
        return Prompt(tuple(self.encoder.encode_text(text)), text, starts_in_thought=False)

    def parser(
        self,
        *,
        starts_in_thought: bool,
        stops: Sequence[str],
        trim: bool,
        shape: AnswerShape = FREE,
    ) -> AnswerParser:
        return AnswerParser(
            self.encoder.tokenizer,
            self.encoder.control_ids,
            starts_in_thought=starts_in_thought,
            stops=stops,
            trim=trim,
            calls=self._reader(shape),
        )

    def constraints(
        self, shape: AnswerShape, prompt: Prompt, setting: ReasoningSetting, *, count: int
    ) -> list[GrammarConstraint] | None:
        """Return what holds each of `count` answers to its shape; None where nothing must.

        Raises: RequestRefused for a schema that cannot be enforced.
        """
        syntax = self.template.tool_support if self.template else None
        grammar = answer_grammar(
            shape.schema,
            shape.tools,
            syntax.syntax if syntax else None,
            self.encoder.control_ids,
        )
        if grammar is None:
            return None
        # Without a toggle nobody can tell a model not to think: it may.
        may_think = setting.mode == "on" or not self.profile.has_toggle
        return [
            self._grammars.constraint(
                grammar, in_thought=prompt.starts_in_thought, may_think=may_think
            )
            for _ in range(count)
        ]

    def _reader(self, shape: AnswerShape) -> CallReader | None:
        support = self.template.tool_support if self.template else None
        if support is None or not shape.tools.callable_tools:
            return None
        names = [tool.name for tool in shape.tools.callable_tools]
        return CallReader(support.syntax, names, self.encoder.control_ids)


def read_format(
    folder: Path, *, context_tokens: int, digests: Mapping[str, str] | None = None
) -> ChatFormat:
    """Read a checkpoint folder's tokenizer, template and stop ids.

    `digests` maps each path to the hex SHA-256 that was approved; what is read is held to it.

    Raises: RenderingFailed if a file is not the approved one, or there is no usable tokenizer.
    """
    read = _Reader(folder, digests)
    settings = read.json("tokenizer_config.json")
    generation = read.json("generation_config.json") or read.json("config.json")
    tokenizer = read.text("tokenizer.json")
    if tokenizer is None:
        raise RenderingFailed(f"{folder.name} has no tokenizer.json; no other kind is read")
    inline = settings.get("chat_template")
    template = read.text("chat_template.jinja")
    return ChatFormat(
        tokenizer,
        template=inline if template is None and isinstance(inline, str) else template,
        specials=_specials(settings),
        stop_ids=_stop_ids(generation),
        context_tokens=context_tokens,
    )


def _specials(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the names templates use (`bos_token`...); a token is a string or an object."""
    found = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = settings.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[name] = text
    return found


def _stop_ids(generation: Mapping[str, Any]) -> list[int]:
    value = generation.get("eos_token_id")
    ids = value if isinstance(value, list) else [value]
    return [token for token in ids if isinstance(token, int) and not isinstance(token, bool)]


class _Reader:
    """Read a folder's small files, each held to its approved digest."""

    def __init__(self, folder: Path, digests: Mapping[str, str] | None) -> None:
        self._folder = folder
        self._digests = digests

    def text(self, name: str) -> str | None:
        """Return the text; None if the folder has no such file."""
        path = self._folder / name
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RenderingFailed(f"{name} is larger than {MAX_FILE_BYTES} bytes")
        data = path.read_bytes()
        if self._digests is not None and hashlib.sha256(data).hexdigest() != self._digests.get(
            name
        ):
            raise RenderingFailed(f"{name} is not the file that was approved")
        return data.decode("utf-8")

    def json(self, name: str) -> dict[str, Any]:
        """Return the object; an empty one if the folder has no such file."""
        text = self.text(name)
        body = {} if text is None else json.loads(text)
        if not isinstance(body, dict):
            raise RenderingFailed(f"{name} is not a JSON object")
        return body
