"""What one replica is made of, and how a request becomes runs on its engine.

Joins the conversation format, the engine and the lease. Knows nothing about HTTP.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inference.chat.constraint import GrammarConstraint
from inference.chat.format import FREE, AnswerShape, ChatFormat, Prompt
from inference.chat.grammar import read_response_format
from inference.chat.messages import read_messages
from inference.chat.tools import read_tools
from inference.contract import ContextTooLong, EndpointUnknown, Json, NotServing, RequestRefused
from inference.metrics import RuntimeMetrics
from inference.protocol import EngineBackend, GenerateRequest, SamplingParams, ThinkingBudget
from inference.reasoning import ReasoningSetting, read_wish, resolve, with_answer_room
from inference.server.answer import Choice, Envelope
from inference.server.fields import (
    Fields,
    check_bound,
    read_chat_fields,
    read_completion_fields,
    read_prompt,
)
from inference.server.generate import Run
from inference.server.lease import Lease

COMPLETION_TOKENS: Final = 16
# The last tenth of a budget already ends at a newline: a cut between lines reads better.
MAX_SOFT_WINDOW_TOKENS: Final = 500
# (temperature, top_p) when the caller names none. Source: model card of Nemotron-Nano-9B-v2.
SAMPLING_DEFAULTS: Final = {"on": (0.6, 0.95), "off": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted request: what runs, and what its answer repeats."""

    runs: tuple[Run, ...]
    fields: Fields
    envelope: Envelope
    is_chat: bool


@dataclass(slots=True)
class Model:
    """A loaded checkpoint: its engine, its format, its context length in tokens."""

    engine: EngineBackend
    format: ChatFormat
    context_tokens: int


class Runtime:
    """One replica; `model` is None until the weights are loaded."""

    def __init__(self, *, lease: Lease, name: str, metrics: RuntimeMetrics) -> None:
        self.lease = lease
        self.metrics = metrics
        self.model: Model | None = None
        self._own_name = name

    @property
    def name(self) -> str:
        """The endpoint's name from the permit; without one, the folder's."""
        return self.lease.name or self._own_name

    def loaded(self) -> Model:
        if self.model is None:
            raise NotServing("the model is still loading", retry_after=2)
        state = self.model.engine.health().state
        if state == "failed":
            raise NotServing("the engine broke; this replica is to be replaced", retry_after=5)
        if state != "ready":
            raise NotServing(f"the engine is {state}", retry_after=2)
        return self.model

    def chat_job(self, body: Json) -> Job:
        """Read a chat request.

        Raises: RequestRefused and its kin, EndpointUnknown, NotServing.
        """
        fields = read_chat_fields(body)
        model = self._ready(fields)
        turns = read_messages(body.get("messages"))
        shape = AnswerShape(read_tools(body), read_response_format(body))
        _check_shape(fields, shape)
        setting = resolve(
            read_wish(body),
            [(turn.role, turn.text) for turn in turns],
            policy=self.lease.policy,
            profile=model.format.profile,
        )
        prompt = model.format.chat_prompt(turns, setting, shape)
        room = _room(model, prompt, fields.max_tokens)
        setting = with_answer_room(setting, room)
        bounds = model.format.constraints(shape, prompt, setting, count=fields.choices)
        self.metrics.reasoning.labels(setting.mode, setting.source).inc()
        runs = _runs(model, fields, prompt, room, setting=setting, shape=shape, bounds=bounds)
        return self._job(fields, prompt, setting, runs)

    def completion_job(self, body: Json) -> Job:
        """Read a raw completion request: no template, so no reasoning to switch."""
        fields = read_completion_fields(body)
        model = self._ready(fields)
        if self.lease.policy.mode == "always_on":
            raise RequestRefused(
                "this endpoint always reasons, which raw completions cannot; "
                "use /v1/chat/completions",
                param="prompt",
            )
        prompt = model.format.text_prompt(read_prompt(body))
        room = _room(model, prompt, fields.max_tokens or COMPLETION_TOKENS)
        return self._job(fields, prompt, None, _runs(model, fields, prompt, room))

    def _ready(self, fields: Fields) -> Model:
        self.lease.check()
        model = self.loaded()
        if fields.model != self.name:
            raise EndpointUnknown(
                f"this replica serves {self.name!r}, not {fields.model!r}", param="model"
            )
        return model

    def _job(
        self,
        fields: Fields,
        prompt: Prompt,
        setting: ReasoningSetting | None,
        runs: tuple[Run, ...],
    ) -> Job:
        envelope = Envelope(
            id=runs[0].request.request_id.rpartition("-")[0],
            created=int(time.time()),
            model=fields.model,
            prompt_tokens=len(prompt.ids),
            setting=setting,
        )
        self.metrics.prompt_tokens.inc(len(prompt.ids))
        return Job(runs, fields, envelope, is_chat=setting is not None)


def _runs(
    model: Model,
    fields: Fields,
    prompt: Prompt,
    room: int,
    *,
    setting: ReasoningSetting | None = None,
    shape: AnswerShape = FREE,
    bounds: Sequence[GrammarConstraint] | None = None,
) -> tuple[Run, ...]:
    """Return a run for each choice; `setting` None: a raw completion, with nothing to read."""
    job_id = ("cmpl-" if setting is None else "chatcmpl-") + secrets.token_hex(12)
    return tuple(
        Run(
            request=GenerateRequest(
                request_id=f"{job_id}-{index}",
                prompt_ids=prompt.ids,
                sampling=_sampling(fields, setting, model, room, index),
                thinking=_budget(setting, model.format, prompt),
                constraint=bounds[index] if bounds else None,
            ),
            parser=model.format.parser(
                starts_in_thought=prompt.starts_in_thought,
                stops=fields.stops,
                trim=setting is not None,
                shape=shape,
            ),
            choice=Choice(index, bound=bounds[index] if bounds else None),
        )
        for index in range(fields.choices)
    )


def _check_shape(fields: Fields, shape: AnswerShape) -> None:
    if shape.schema is not None:
        check_bound(fields, by="response_format", is_json=True)
    elif shape.tools.is_bound:
        check_bound(fields, by="tool_choice" if shape.tools.must_call else "tools", is_json=False)


def _room(model: Model, prompt: Prompt, wanted: int | None) -> int:
    """Return how many tokens may be generated, at least 1.

    Raises: ContextTooLong.
    """
    left = model.context_tokens - len(prompt.ids)
    if left < max(1, wanted or 1):
        raise ContextTooLong(
            f"the prompt has {len(prompt.ids)} tokens and {wanted or 1} are to be generated; "
            f"the context holds {model.context_tokens}",
            param="max_tokens" if wanted and left >= 1 else "messages",
        )
    return wanted or left


def _sampling(
    fields: Fields, setting: ReasoningSetting | None, model: Model, room: int, index: int
) -> SamplingParams:
    if setting is not None and model.format.profile.has_toggle:
        temperature, top_p = SAMPLING_DEFAULTS[setting.mode]
    else:
        temperature, top_p = 1.0, 1.0
    return SamplingParams(
        temperature=temperature if fields.temperature is None else fields.temperature,
        top_p=top_p if fields.top_p is None else fields.top_p,
        top_k=fields.top_k,
        min_p=fields.min_p,
        presence_penalty=fields.presence_penalty,
        frequency_penalty=fields.frequency_penalty,
        repetition_penalty=fields.repetition_penalty,
        # Choices of one seeded request differ from each other, and repeat when asked again.
        seed=None if fields.seed is None else fields.seed + index,
        max_tokens=room,
        min_tokens=min(fields.min_tokens, room),
        ignore_eos=fields.ignore_eos,
        logprobs=fields.logprobs,
        stop_ids=model.format.stop_ids,
    )


def _budget(
    setting: ReasoningSetting | None, form: ChatFormat, prompt: Prompt
) -> ThinkingBudget | None:
    if setting is None or setting.budget_tokens is None:
        return None
    return ThinkingBudget(
        max_tokens=setting.budget_tokens,
        end_ids=form.closer_ids,
        in_thought=prompt.starts_in_thought,
        start_ids=() if prompt.starts_in_thought else form.opener_ids,
        newline_ids=form.newline_ids,
        soft_window_tokens=min(MAX_SOFT_WINDOW_TOKENS, setting.budget_tokens // 10),
    )
