"""Scheduling proven with integers: slots, order, budgets; no tensors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.protocol import GenerateRequest, SamplingParams, ThinkingBudget
from inference.scheduler import Scheduler, TooLong
from inference.sequence import Sequence

CLOSE = (90, 91)
NEWLINE = 10


def make_sequence(name="a", *, prompt=3, thinking=None, **sampling) -> Sequence:
    params = SamplingParams(**{"max_tokens": 5, "stop_ids": (7,), **sampling})
    return Sequence(GenerateRequest(name, tuple(range(1, prompt + 1)), params, thinking))


def run_prefill(scheduler: Scheduler) -> None:
    while (piece := scheduler.next_step().prefill) is not None:
        scheduler.prefilled(piece)


def test_requests_are_admitted_in_the_order_they_came():
    scheduler = Scheduler(num_slots=1, slot_tokens=100)
    for name in "abc":
        scheduler.add(make_sequence(name))

    run_prefill(scheduler)
    first = scheduler.next_step().decode
    scheduler.end("a")
    run_prefill(scheduler)

    assert [one.request_id for one in first] == ["a"]
    assert [one.request_id for one in scheduler.next_step().decode] == ["b"]
    assert scheduler.num_waiting == 1


def test_a_long_prompt_is_read_in_pieces_while_others_decode():
    scheduler = Scheduler(num_slots=2, slot_tokens=100, piece_tokens=4)
    scheduler.add(make_sequence("short"))
    run_prefill(scheduler)
    scheduler.add(make_sequence("long", prompt=10))

    pieces = []
    while (step := scheduler.next_step()).prefill is not None:
        assert [one.request_id for one in step.decode] == ["short"]
        pieces.append((step.prefill.start, step.prefill.end))
        scheduler.prefilled(step.prefill)

    assert pieces == [(0, 4), (4, 8), (8, 10)]


def test_what_does_not_fit_a_slot_is_refused():
    scheduler = Scheduler(num_slots=1, slot_tokens=10)

    with pytest.raises(TooLong, match="slot holds 10"):
        scheduler.add(make_sequence(prompt=6, max_tokens=5))


@given(st.lists(st.tuples(st.sampled_from(["add", "end", "step"]), st.integers(0, 9)), max_size=80))
def test_a_slot_has_one_owner_and_comes_back_exactly_once(moves):
    scheduler = Scheduler(num_slots=3, slot_tokens=100)
    alive: set[str] = set()

    for move, number in moves:
        name = str(number)
        if move == "add" and name not in alive:
            scheduler.add(make_sequence(name))
            alive.add(name)
        elif move == "end":
            assert (scheduler.end(name) is not None) == (name in alive)
            alive.discard(name)
        step = scheduler.next_step()
        if step.prefill:
            scheduler.prefilled(step.prefill)
        owners = [one.slot for one in step.decode]
        assert len(set(owners)) == len(owners)
        assert scheduler.num_running + scheduler.num_waiting == len(alive)

    scheduler.end_all()
    for name in "xyz":
        scheduler.add(make_sequence(name))
    scheduler.next_step()
    assert scheduler.num_running == 3


def test_a_stop_token_ends_and_is_not_output():
    sequence = make_sequence()

    assert sequence.accept(5)
    assert not sequence.accept(7)
    assert (sequence.finish_reason, sequence.output_ids) == ("stop", [5])


def test_a_stop_token_counts_as_text_before_min_tokens_and_with_ignore_eos():
    early = make_sequence(min_tokens=2)
    endless = make_sequence(ignore_eos=True)

    assert early.accept(7)
    assert endless.accept(7)
    assert early.finish_reason is endless.finish_reason is None


def think(budget: int, tokens: list[int], *, window: int = 0) -> tuple[list[int], Sequence]:
    """Feed a model's choices through a budget; return what really came out."""
    thinking = ThinkingBudget(budget, CLOSE, newline_ids=(NEWLINE,), soft_window_tokens=window)
    sequence = make_sequence(thinking=thinking, max_tokens=100)
    out = []
    for token in tokens:
        forced = sequence.forced_token()
        out.append(token if forced is None else forced)
        sequence.accept(out[-1])
    return out, sequence


def test_a_thought_is_cut_hard_at_its_budget_and_its_end_is_forced_token_by_token():
    out, sequence = think(3, [1] * 8)

    assert out == [1, 1, 1, *CLOSE, 1, 1, 1]
    assert sequence.thought.forced_end == "hard"
    assert sequence.thought.used == 3


def test_a_thought_is_cut_softly_after_a_newline_in_the_window():
    out, sequence = think(6, [1, NEWLINE, 1, NEWLINE, 1, 1, 1], window=3)

    assert out == [1, NEWLINE, 1, NEWLINE, *CLOSE, 1]
    assert sequence.thought.forced_end == "newline"


def test_a_budget_of_nothing_closes_the_thought_at_once():
    out, _ = think(0, [1, 1, 1])

    assert out == [*CLOSE, 1]


def test_a_thought_that_ends_by_itself_is_left_alone():
    out, sequence = think(10, [1, 1, *CLOSE, 1, 1])

    assert out == [1, 1, *CLOSE, 1, 1]
    assert sequence.thought.forced_end is None
    assert sequence.thought.used == 2


def test_an_end_that_has_begun_is_completed_not_begun_again():
    out, _ = think(3, [1, 1, CLOSE[0], 1, 1])

    assert out == [1, 1, *CLOSE, 1]
