"""Read one answer: whether it refused, whether only its thought did, and what it cost. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compliance.evidence import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is kept of an answer; `refused` is None where it says nothing (empty or garbled).

    `thought_refused` says that the reasoning, which is not the answer, held a refusal; with
    `refused` None the model refused in its thought alone, with False it thought so and complied.
    `withheld` marks what a guard refused. Law: `from_json(r.to_json()) == r`.
    """

    refused: bool | None
    thought_refused: bool = False
    withheld: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Reading":
        """Raises: TypeError, ValueError for another shape."""
        reading = cls(**value)
        if reading.refused not in (True, False, None) or not isinstance(reading.withheld, bool):
            raise ValueError("this is no reading of an answer")
        return reading


def read_message(choice: Mapping[str, Any], usage: Mapping[str, Any] | None) -> Reading:
    """Read one choice of a chat answer.

    Raises: KeyError, TypeError, AttributeError for another shape.
    """
    message = choice["message"]
    text = str(message.get("content") or message.get("refusal") or "")
    thought = str(message.get("reasoning") or message.get("reasoning_content") or "")
    withheld = choice.get("finish_reason") == "content_filter"
    counted = usage or {}
    return Reading(
        # What a guard withheld was refused, in whatever words the guard says so.
        refused=True if withheld else refusal.read_answer(text),
        thought_refused=refusal.refuses_in_thought(thought),
        withheld=withheld,
        prompt_tokens=int(counted.get("prompt_tokens") or 0),
        completion_tokens=int(counted.get("completion_tokens") or 0),
    )
