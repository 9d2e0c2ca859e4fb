"""A byte-level tokenizer and chat templates of the usual families, small enough to read."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from inference.chat.format import ChatFormat

SPECIALS = [
    "<pad>",
    "<s>",
    "</s>",
    "<SPECIAL_10>",
    "<SPECIAL_11>",
    "<SPECIAL_12>",
    "<think>",
    "</think>",
]
IDS = {name: 256 + index for index, name in enumerate(SPECIALS)}

# Behaves like the template of Nemotron-Nano-9B-v2: the last word wins, both words are removed.
NEMOTRON = """
{%- set ns = namespace(thinking=true) -%}
{%- for m in messages if m['role'] in ('system', 'user') -%}
{%- if '/think' in m['content'] -%}{%- set ns.thinking = true -%}
{%- elif '/no_think' in m['content'] -%}{%- set ns.thinking = false -%}{%- endif -%}
{%- endfor -%}
{%- if messages[0]['role'] != 'system' -%}{{- '<SPECIAL_10>System\\n\\n' -}}{%- endif -%}
{%- for m in messages -%}
{%- set text = m['content'].replace('/think', '').replace('/no_think', '').strip() -%}
{%- if m['role'] == 'system' and loop.first -%}{{- '<SPECIAL_10>System\\n' + text + '\\n' -}}
{%- elif m['role'] == 'user' -%}{{- '<SPECIAL_11>User\\n' + text + '\\n' -}}
{%- elif m['role'] == 'assistant' -%}
{{- '<SPECIAL_11>Assistant\\n' + m['content'].split('</think>')[-1].strip()
   + '\\n<SPECIAL_12>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<SPECIAL_11>Assistant\\n' + ('<think>\\n' if ns.thinking else '<think></think>') -}}
{%- endif -%}
"""

# Behaves like Qwen3's: a keyword switches, and the opener is left to the model.
QWEN = """
{%- for m in messages -%}{{- '<s>' + m['role'] + '\\n' + m['content'] + '</s>\\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<s>assistant\\n' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}{%- endif -%}
"""

PLAIN = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}<s>assistant:"


def template(name: str) -> str:
    """Return one of the templates beside this file, written to behave like a family's."""
    return (Path(__file__).parent / "templates" / f"{name}.jinja").read_text()


def tokenizer(added: tuple[str, ...] = ()) -> Tokenizer:
    """Return the tokenizer; `added` are tokens of their own that are not special."""
    letters = byte_letters()
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    made.add_tokens([AddedToken(name, special=False, normalized=False) for name in added])
    return made


def byte_letters() -> list[str]:
    """Return the letter ByteLevel writes for each byte: itself if printable, else from U+0100."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(hidden)) for byte in range(256)]


def chat_format(
    template: str | None = NEMOTRON, context_tokens: int = 512, added: tuple[str, ...] = ()
) -> ChatFormat:
    return ChatFormat(
        tokenizer(added).to_str(),
        template=template,
        specials={"bos_token": "<s>", "eos_token": "<SPECIAL_12>"},
        stop_ids=[IDS["<SPECIAL_12>"]],
        context_tokens=context_tokens,
    )


def write_checkpoint(folder: Path, template: str = NEMOTRON) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [258, 261]}))
    return folder
