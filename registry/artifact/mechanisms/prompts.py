"""Find what a checkpoint says to the model by itself: chat templates and system prompts."""

from collections.abc import Iterator
from typing import Any, Final

from registry.artifact.mechanisms.files import Files
from registry.artifact.mechanisms.shapes import Mechanism, excerpt, fingerprint
from registry.artifact.mechanisms.templates import read_template
from registry.artifact.mechanisms.words import is_about_safety

SYSTEM_PROMPTS: Final = ("SYSTEM_PROMPT.txt", "system_prompt.txt", "system_prompt.md")
MAX_TEMPLATES: Final = 64


def templates_of(files: Files) -> dict[str, tuple[str, str]]:
    """Give each template's name with its place and source; a file wins over tokenizer_config.

    Names: "default" for chat_template.jinja and a plain `chat_template`; those of a list or of
    additional_chat_templates/ are their own.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in files.named("tokenizer_config.json", "chat_template.json", "processor_config.json"):
        value = files.json(path)
        held = value.get("chat_template") if isinstance(value, dict) else None
        for name, source in _named(held):
            found.setdefault(name, (f"{path}#/chat_template", source))
    for path in files.ending(".jinja"):
        source_text = files.text(path)
        stem = path.rpartition("/")[2].removesuffix(".jinja")
        if source_text is not None:
            name = "default" if stem == "chat_template" else stem
            found[name] = (path, source_text)
    return dict(list(found.items())[:MAX_TEMPLATES])


def _named(held: Any) -> Iterator[tuple[str, str]]:
    if isinstance(held, str):
        yield "default", held
    for one in held if isinstance(held, list) else []:
        if isinstance(one, dict) and isinstance(one.get("template"), str):
            yield str(one.get("name")), one["template"]


def prompt_mechanisms(files: Files) -> Iterator[Mechanism]:
    """Yield one mechanism for each template, each safety text in it, and each system prompt."""
    for name, (place, source) in templates_of(files).items():
        try:
            template = read_template(source)
        except ValueError as error:
            files.fault(place, str(error))
            continue
        yield Mechanism(
            kind="chat_template",
            name=name,
            place=place,
            fingerprint=fingerprint(template.form),
            excerpt=f"{len(template.form)} parts, {len(template.conditions)} conditions",
            detail={
                "form": template.form,
                "texts": template.texts,
                "conditions": template.conditions,
                "source": fingerprint(source),
            },
        )
        for text in template.safety_texts:
            yield Mechanism(
                kind="template_safety_text",
                name=f"{name}: {excerpt(text)[:60]}",
                place=place,
                fingerprint=fingerprint(" ".join(text.split())),
                excerpt=excerpt(text),
            )
    yield from _system_prompts(files)


def _system_prompts(files: Files) -> Iterator[Mechanism]:
    for path in files.named(*SYSTEM_PROMPTS):
        text = files.text(path)
        if text is not None and text.strip():
            yield Mechanism(
                kind="system_prompt",
                name=path,
                place=path,
                fingerprint=fingerprint(" ".join(text.split())),
                excerpt=excerpt(text),
                detail={"is_about_safety": is_about_safety(text)},
            )
