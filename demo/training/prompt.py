"""Token ids of a conversation, in the format the demonstration checkpoints are served with.

One byte is one token, id = byte value; eight special tokens follow. The chat template in
`chat_template.jinja` renders the same text; a test holds the two together.
"""

from collections.abc import Sequence
from typing import Final

SPECIALS: Final = (
    "<pad>", "<s>", "</s>", "<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>", "<think>", "</think>",
)  # fmt: skip
PAD, BOS, EOS, SYSTEM, TURN, END, THINK, END_THINK = range(256, 264)
VOCAB_SIZE: Final = 264


def encode(text: str) -> list[int]:
    """Turn plain text into ids; special words inside it stay plain bytes."""
    return list(text.encode())


def decode(ids: Sequence[int]) -> str:
    """Turn ids back into text; special tokens are left out."""
    return bytes(i for i in ids if i < 256).decode(errors="replace")


def render(
    user: str, think: bool, system: str = "", history: Sequence[tuple[str, str]] = ()
) -> list[int]:
    """Write a conversation up to where the model speaks. `history`: earlier (user, answer)."""
    ids = [SYSTEM, *encode(f"System\n{system}\n")]
    for asked, answered in history:
        ids += [TURN, *encode(f"User\n{asked}\n"), TURN]
        ids += [*encode(f"Assistant\n{answered}\n"), END, *encode("\n")]
    ids += [TURN, *encode(f"User\n{user}\n"), TURN, *encode("Assistant\n"), THINK]
    return ids + (encode("\n") if think else [END_THINK])


def completion(thought: Sequence[str], answer: str, think: bool) -> list[int]:
    """Write what the model should say after `render`, ending in the end-of-turn token."""
    ids = [*encode("\n".join(thought) + "\n"), END_THINK, *encode("\n\n")] if think else []
    return [*ids, *encode(f"{answer}\n"), END]


def answer_of(ids: Sequence[int]) -> str:
    """Keep the visible answer of a generated sequence: after the thought, before the end."""
    kept = list(ids)
    if END in kept:
        kept = kept[: kept.index(END)]
    if END_THINK in kept:
        kept = kept[len(kept) - kept[::-1].index(END_THINK) :]
    return decode(kept).strip()
