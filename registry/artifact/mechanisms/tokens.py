"""Find what the tokenizer and the generation settings hold back."""

from collections.abc import Iterator
from typing import Any, Final

from registry.artifact.mechanisms.files import Files
from registry.artifact.mechanisms.prompts import templates_of
from registry.artifact.mechanisms.shapes import Mechanism, excerpt, fingerprint

# Settings that hold tokens back, or mark what was generated.
HOLDING: Final = (
    *("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias"),
    *("forced_bos_token_id", "forced_eos_token_id", "forced_decoder_ids", "watermarking_config"),
    *("guidance_scale", "negative_prompt_ids", "stop_strings"),
)
ENDING: Final = ("eos_token_id", "bos_token_id", "pad_token_id")


def token_mechanisms(files: Files) -> Iterator[Mechanism]:
    yield from _added_tokens(files)
    yield from _generation(files)


def _added_tokens(files: Files) -> Iterator[Mechanism]:
    """Yield the added tokens together, and each one that a chat template writes or looks for."""
    for path in files.named("tokenizer.json")[:1]:
        value = files.json(path)
        if not isinstance(value, dict):
            continue
        tokens = {
            str(one.get("content")): [one.get("id"), bool(one.get("special"))]
            for one in value.get("added_tokens") or []
            if isinstance(one, dict)
        }
        yield Mechanism(
            kind="added_tokens",
            name="all",
            place=f"{path}#/added_tokens",
            fingerprint=fingerprint(tokens),
            excerpt=f"{len(tokens)} tokens",
            detail={"tokens": tokens},
        )
        sources = "\n".join(source for _, source in templates_of(files).values())
        for content, meaning in tokens.items():
            if content and content in sources:
                yield Mechanism(
                    kind="control_token",
                    name=content,
                    place=f"{path}#/added_tokens",
                    fingerprint=fingerprint([content, meaning]),
                    excerpt=f"id {meaning[0]}, {'special' if meaning[1] else 'not special'}",
                )
        for part in ("normalizer", "pre_tokenizer"):
            yield Mechanism(
                kind="tokenizer",
                name=part,
                place=f"{path}#/{part}",
                fingerprint=fingerprint(value.get(part)),
                excerpt=excerpt(str(value.get(part))),
            )


def _generation(files: Files) -> Iterator[Mechanism]:
    """Yield each setting of a generation config; those of config.json count where that has them."""
    seen: set[str] = set()
    for path in (*files.named("generation_config.json")[:1], *files.named("config.json")[:1]):
        value = files.json(path)
        if not isinstance(value, dict):
            continue
        for name in (*HOLDING, *ENDING):
            held: Any = value.get(name)
            if name in seen or held in (None, [], {}):
                continue
            seen.add(name)
            yield Mechanism(
                kind="generation_setting" if name in HOLDING else "end_token",
                name=name,
                place=f"{path}#/{name}",
                fingerprint=fingerprint(held),
                excerpt=excerpt(str(held)),
            )
