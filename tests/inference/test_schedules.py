"""Whatever the schedule, no sequence reads another's memory: the real model, step by step."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.cache import CacheSize
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH
from inference.protocol import GenerateRequest, SamplingParams
from inference.runner import Runner
from inference.scheduler import Scheduler
from inference.sequence import Sequence
from tests.inference.test_engine import CONFIG

CONTEXT = 48


@pytest.fixture(scope="module")
def model() -> NemotronH:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    made = NemotronH(NemotronHConfig.from_dict(CONFIG)).eval()
    for name, parameter in made.named_parameters():
        if parameter.dim() >= 2 and "conv" not in name:
            torch.nn.init.normal_(parameter, std=0.25)
    return made.requires_grad_(requires_grad=False)


@dataclass
class Desk:
    """The engine's loop without its thread: greedy, one step at a time."""

    runner: Runner
    scheduler: Scheduler
    ended: list[Sequence] = field(default_factory=list)

    def step(self) -> None:
        planned = self.scheduler.next_step()
        if planned.decode:
            self._accept(planned.decode, self.runner.decode(planned.decode))
        if planned.pieces:
            logits = self.runner.prefill(planned.pieces)
            for piece in planned.pieces:
                self.scheduler.read(piece)
            done = [n for n, piece in enumerate(planned.pieces) if piece.is_last]
            self._accept(tuple(planned.pieces[n].sequence for n in done), logits[done])

    def _accept(self, sequences: tuple[Sequence, ...], logits: torch.Tensor) -> None:
        for sequence, row in zip(sequences, logits, strict=True):
            sequence.accept(int(row.argmax()))
            if sequence.finish_reason is not None:
                self.scheduler.end(sequence.request_id)
                self.ended.append(sequence)


def desk(model: NemotronH, *, slots: int, blocks: int, prefill: int) -> Desk:
    size = CacheSize(slots, blocks, block_tokens=4)
    runner = Runner(model, size, context_tokens=CONTEXT, dtype=torch.float32)
    # What nobody has written must never matter: it is anything but zero.
    for state in runner.cache.layers:
        for tensor in vars(state).values() if state is not None else ():
            tensor.fill_(50.0)
    scheduler = Scheduler(size, context_tokens=CONTEXT, prefill_tokens=prefill)
    return Desk(runner, scheduler)


def sequence_of(number: int, prompt: int, count: int) -> Sequence:
    ids = tuple((11 * number + 5 * i) % 64 for i in range(prompt))
    params = SamplingParams(temperature=0, max_tokens=count)
    return Sequence(GenerateRequest(str(number), ids, params))


def alone(model: NemotronH, sequence: Sequence) -> list[int]:
    ids = list(sequence.request.prompt_ids)
    for _ in sequence.output_ids:
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(sequence.request.prompt_ids) :]


ARRIVALS = st.lists(
    st.tuples(st.integers(1, 24), st.integers(1, 20), st.integers(0, 4), st.booleans()),
    min_size=2,
    max_size=7,
)


@torch.inference_mode()
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    arrivals=ARRIVALS,
    slots=st.integers(1, 4),
    blocks=st.integers(12, 20),
    prefill=st.sampled_from([1, 5, 16, 512]),
)
def test_every_sequence_says_what_it_says_alone_whatever_the_schedule(
    model: NemotronH, arrivals, slots: int, blocks: int, prefill: int
) -> None:
    work = desk(model, slots=slots, blocks=blocks, prefill=prefill)
    kept = []
    for number, (prompt, count, steps, leaves) in enumerate(arrivals):
        sequence = sequence_of(number, prompt, count)
        work.scheduler.add(sequence)
        for _ in range(steps):
            work.step()
        if leaves and sequence.finish_reason is None:
            work.scheduler.end(str(number))
        else:
            kept.append(sequence)
    while work.scheduler.num_running + work.scheduler.num_waiting:
        work.step()

    assert all(len(one.output_ids) == one.request.sampling.max_tokens for one in kept)
    assert [one.output_ids for one in kept] == [alone(model, one) for one in kept]
