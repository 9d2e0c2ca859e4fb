"""One checkpoint's conversation format: its template, its tokenizer, its stop ids.

Reads files that the loader has already checked against the manifest. This is the one object the
server needs to go from messages to token ids and back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inference.chat.encode import PromptEncoder
from inference.chat.messages import without_toggle_words
from inference.chat.output import AnswerParser
from inference.chat.template import CLOSER, ChatTemplate, Turn
from inference.contract import RenderingFailed, RequestRefused
from inference.reasoning import Profile, ReasoningSetting

MAX_JSON_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, its text, and whether the model starts inside a thought."""

    ids: tuple[int, ...]
    text: str
    starts_in_thought: bool


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

    def chat_prompt(self, turns: Sequence[Turn], setting: ReasoningSetting) -> Prompt:
        """Render and encode one conversation.

        Raises: RequestRefused without a template, or where the template refuses the turns.
        """
        if self.template is None:
            raise RequestRefused(
                "this checkpoint has no chat template; use /v1/completions", param="messages"
            )
        if setting.strip_toggle_words:
            turns = without_toggle_words(list(turns))
        rendered = self.template.render(turns, setting.mode)
        ids = self.encoder.encode(rendered.pieces)
        return Prompt(tuple(ids), rendered.text, rendered.starts_in_thought)

    def text_prompt(self, text: str) -> Prompt:
        return Prompt(tuple(self.encoder.encode_text(text)), text, starts_in_thought=False)

    def parser(self, *, starts_in_thought: bool, stops: Sequence[str], trim: bool) -> AnswerParser:
        return AnswerParser(
            self.encoder.tokenizer,
            self.encoder.control_ids,
            starts_in_thought=starts_in_thought,
            stops=stops,
            trim=trim,
        )


def read_format(folder: Path, *, context_tokens: int) -> ChatFormat:
    """Read a checkpoint folder's tokenizer, template and stop ids.

    Raises: RenderingFailed if the folder has no usable tokenizer.
    """
    settings = _read_json(folder / "tokenizer_config.json")
    generation = _read_json(folder / "generation_config.json") or _read_json(folder / "config.json")
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise RenderingFailed(f"{folder.name} has no tokenizer.json; no other kind is read")
    return ChatFormat(
        tokenizer.read_text(encoding="utf-8"),
        template=_template(folder, settings),
        specials=_specials(settings),
        stop_ids=_stop_ids(generation),
        context_tokens=context_tokens,
    )


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    inline = settings.get("chat_template")
    return inline if isinstance(inline, str) else None


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


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_JSON_BYTES:
        raise RenderingFailed(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
    body = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(body, dict):
        raise RenderingFailed(f"{path.name} is not a JSON object")
    return body
