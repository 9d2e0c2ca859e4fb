"""Write steps as server-sent events of chat and of raw completions.

Most events carry a few letters of text: those are put together from bytes made once a request.
Law: such an event reads as the same JSON that `answer` would have built.
"""

import json
from json.encoder import encode_basestring
from typing import Final, Protocol

from inference import problem
from inference.chat.output import Delta
from inference.contract import Json, ServingError
from inference.server import answer
from inference.server.generate import Step
from inference.server.runtime import Job

DONE: Final = b"data: [DONE]\n\n"
_REST: Final = b'}, "finish_reason": null, "logprobs": null}]}\n\n'
_TEXT_REST: Final = b', "finish_reason": null, "logprobs": null}]}\n\n'


class Writer(Protocol):
    """One answer on its way out: as events, or whole."""

    def opening(self) -> bytes:
        """Return what comes before the first step."""
        ...

    def step(self, step: Step) -> bytes:
        """Return the events of a step, none if nothing of it is to be shown yet."""
        ...

    def closing(self) -> bytes: ...

    def fault(self, error: ServingError) -> bytes:
        """Return the event that ends a stream instead of `closing`."""
        ...

    def whole(self) -> Json:
        """Return the answer in one piece, when its choices are complete."""
        ...


class _Chunks:
    """What chat and raw completions have in common."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._envelope = job.envelope

    def fault(self, error: ServingError) -> bytes:
        return problem.event(error)

    def _usage(self) -> Json:
        return self._envelope.closing([run.choice for run in self._job.runs])


class ChatEvents(_Chunks):
    def __init__(self, job: Job) -> None:
        super().__init__(job)
        setting = job.envelope.setting
        self._hides_thought = setting is not None and setting.exclude
        bare = _cut(job.envelope.chat_chunk([]))
        self._starts = [bare + b'{"index": %d, "delta": {' % run.choice.index for run in job.runs]

    def opening(self) -> bytes:
        return b"".join(
            answer.event(
                self._envelope.chat_chunk(
                    [answer.chat_delta(run.choice.index, {"role": "assistant", "content": ""})]
                )
            )
            for run in self._job.runs
        )

    def step(self, step: Step) -> bytes:
        shown = joined(step.deltas)
        if self._hides_thought:
            shown = [delta for delta in shown if delta.kind != "reasoning"]
        if not step.logprobs and not step.last:
            return b"".join([self._event(step, delta) for delta in shown])
        return self._rich(step, shown)

    def closing(self) -> bytes:
        if not self._job.fields.include_usage:
            return DONE
        return answer.event(self._envelope.chat_chunk([], **self._usage())) + DONE

    def whole(self) -> Json:
        return self._envelope.chat([run.choice for run in self._job.runs])

    def _event(self, step: Step, delta: Delta) -> bytes:
        text = encode_basestring(delta.text).encode()
        if delta.kind == "content":
            said = b'"content": ' + text
        elif delta.kind == "reasoning":
            said = b'"reasoning": ' + text + b', "reasoning_content": ' + text
        else:
            part = answer.chat_delta(step.choice.index, answer.delta_json(delta))
            return answer.event(self._envelope.chat_chunk([part]))
        return self._starts[step.choice.index] + said + _REST

    def _rich(self, step: Step, shown: list[Delta]) -> bytes:
        """Return the events of a step with log-probabilities or an end."""
        index = step.choice.index
        parts = [answer.chat_delta(index, answer.delta_json(delta)) for delta in shown]
        if step.logprobs:
            parts = parts or [answer.chat_delta(index, {})]
            parts[-1] |= answer.chat_delta(index, parts[-1]["delta"], logprobs=step.logprobs)
        events = [answer.event(self._envelope.chat_chunk([part])) for part in parts]
        if step.last:
            end = answer.chat_delta(index, {}, finish_reason=step.choice.finish_reason)
            ran = self._envelope.reasoning([step.choice])
            events.append(answer.event(self._envelope.chat_chunk([end], reasoning=ran)))
        return b"".join(events)


class TextEvents(_Chunks):
    def __init__(self, job: Job) -> None:
        super().__init__(job)
        bare = _cut(job.envelope.text_chunk([]))
        self._starts = [bare + b'{"index": %d, "text": ' % run.choice.index for run in job.runs]

    def opening(self) -> bytes:
        return b""

    def step(self, step: Step) -> bytes:
        text = "".join([delta.text for delta in step.deltas])
        choice = step.choice
        if step.logprobs or step.last:
            part = answer.text_delta(
                choice.index, text, finish_reason=choice.finish_reason, logprobs=step.logprobs
            )
            return answer.event(self._envelope.text_chunk([part]))
        if not text:
            return b""
        said: bytes = encode_basestring(text).encode()
        return self._starts[choice.index] + said + _TEXT_REST

    def closing(self) -> bytes:
        if not self._job.fields.include_usage:
            return DONE
        return answer.event(self._envelope.text_chunk([], **self._usage())) + DONE

    def whole(self) -> Json:
        return self._envelope.text([run.choice for run in self._job.runs])


def joined(deltas: tuple[Delta, ...]) -> list[Delta]:
    """Return the deltas with neighbours of one kind made one; parts of calls stay as they are."""
    if len(deltas) < 2:
        return list(deltas)
    made: list[Delta] = []
    for delta in deltas:
        last = made[-1] if made else None
        if last is not None and last.kind == delta.kind and delta.call is None:
            made[-1] = Delta(delta.kind, last.text + delta.text)
        else:
            made.append(delta)
    return made


def _cut(chunk: Json) -> bytes:
    """Return the event of a chunk without choices, up to where the first choice would begin."""
    text = json.dumps(chunk, ensure_ascii=False)
    return b"data: " + text.removesuffix("]}").encode()
