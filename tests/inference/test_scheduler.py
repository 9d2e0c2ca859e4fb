"""Scheduling proven with integers: slots, order, budgets; no tensors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cache import CacheSize
from inference.protocol import GenerateRequest, SamplingParams, ThinkingBudget
from inference.scheduler import Scheduler, Step, TooLong
from inference.sequence import Sequence

CLOSE = (90, 91)
NEWLINE = 10


def make_sequence(name="a", *, prompt=3, thinking=None, **sampling) -> Sequence:
    params = SamplingParams(**{"max_tokens": 5, "stop_ids": (7,), **sampling})
    return Sequence(GenerateRequest(name, tuple(range(1, prompt + 1)), params, thinking))


def make_scheduler(*, slots=3, blocks=30, context=100, prefill=512) -> Scheduler:
    return Scheduler(
        CacheSize(slots, blocks, block_tokens=4), context_tokens=context, prefill_tokens=prefill
    )


def step(scheduler: Scheduler) -> Step:
    """Do one step as the engine would, with a token of no meaning for all that have their turn."""
    planned = scheduler.next_step()
    for piece in planned.pieces:
        scheduler.read(piece)
    done = [piece.sequence for piece in planned.pieces if piece.is_last]
    for sequence in (*planned.decode, *done):
        sequence.accept(50 + len(sequence.output_ids))
        if sequence.finish_reason is not None:
            scheduler.end(sequence.request_id)
    return planned


def names(sequences) -> list[str]:
    return [one.request_id for one in sequences]


def test_requests_are_admitted_in_the_order_they_came():
    scheduler = make_scheduler(slots=1)
    for name in "abc":
        scheduler.add(make_sequence(name))

    step(scheduler)
    first = names(scheduler.next_step().decode)
    scheduler.end("a")
    step(scheduler)

    assert first == ["a"]
    assert names(scheduler.next_step().decode) == ["b"]
    assert scheduler.num_waiting == 1


def test_a_long_prompt_is_read_in_pieces_while_others_decode():
    scheduler = make_scheduler(prefill=4)
    scheduler.add(make_sequence("short", max_tokens=50))
    step(scheduler)
    scheduler.add(make_sequence("long", prompt=10))

    steps = [step(scheduler) for _ in range(3)]

    assert [(p.start, p.end) for one in steps for p in one.pieces] == [(0, 4), (4, 8), (8, 10)]
    assert [names(one.decode) for one in steps] == [["short"]] * 3
    assert names(scheduler.next_step().decode) == ["short", "long"]


def test_prompts_are_read_together_as_far_as_a_step_holds_them_padding_included():
    scheduler = make_scheduler(slots=4, prefill=20)
    for name, prompt in (("a", 3), ("b", 9), ("c", 2), ("d", 1)):
        scheduler.add(make_sequence(name, prompt=prompt))

    first, second = step(scheduler), step(scheduler)

    assert names(piece.sequence for piece in first.pieces) == ["a", "b"]
    assert names(piece.sequence for piece in second.pieces) == ["c", "d"]


def test_what_does_not_fit_the_context_is_refused():
    with pytest.raises(TooLong, match="context holds 10"):
        make_scheduler(context=10).add(make_sequence(prompt=6, max_tokens=5))


def test_a_newcomer_waits_until_blocks_for_all_its_tokens_are_free():
    scheduler = make_scheduler(slots=2, blocks=6)
    scheduler.add(make_sequence("first", prompt=12, max_tokens=2))
    step(scheduler)
    scheduler.add(make_sequence("second", prompt=12))

    waiting = step(scheduler)
    after = step(scheduler)

    assert (names(waiting.decode), waiting.pieces) == (["first"], ())
    assert names(piece.sequence for piece in after.pieces) == ["second"]


def test_without_a_block_left_the_youngest_is_read_again_later_with_what_it_said():
    scheduler = make_scheduler(slots=2, blocks=5)
    old = make_sequence("old", prompt=7, max_tokens=10)
    young = make_sequence("young", prompt=3, max_tokens=15)
    scheduler.add(old)
    scheduler.add(young)

    step(scheduler)
    while not scheduler.preemptions and young.finish_reason is None:
        step(scheduler)
    said = list(young.output_ids)
    while old.finish_reason is None:
        step(scheduler)
    read = scheduler.next_step().pieces

    assert (young.finish_reason, len(old.output_ids)) == (None, 10)
    assert [(p.sequence, p.start, p.end) for p in read] == [(young, 0, 3 + len(said))]
    assert young.token_ids(0, 3 + len(said)) == [1, 2, 3, *said]


MOVES = st.tuples(st.sampled_from(["add", "end", "step", "step"]), st.integers(0, 9))


@given(
    st.lists(MOVES, max_size=80),
    st.integers(1, 4),
    st.integers(10, 24),
    st.sampled_from([1, 3, 8, 64]),
)
def test_slots_and_blocks_have_one_owner_whatever_happens(moves, slots, blocks, prefill):
    scheduler = make_scheduler(slots=slots, blocks=blocks, context=40, prefill=prefill)
    alive: dict[str, Sequence] = {}

    for move, number in moves:
        name = str(number)
        if move == "add" and name not in alive:
            alive[name] = make_sequence(name, prompt=1 + 3 * number, max_tokens=12)
            scheduler.add(alive[name])
        elif move == "end":
            assert (scheduler.end(name) is not None) == (name in alive)
            alive.pop(name, None)
        else:
            step(scheduler)
        alive = {n: one for n, one in alive.items() if one.finish_reason is None}
        seated = [one for one in alive.values() if one.slot]
        held = [block for one in seated for block in one.blocks]
        assert len({one.slot for one in seated}) == len(seated) == scheduler.slots.used
        assert len(set(held)) == len(held) == scheduler.blocks.used
        assert 0 not in held
        assert scheduler.num_running + scheduler.num_waiting == len(alive)

    scheduler.end_all()
    assert (scheduler.slots.used, scheduler.blocks.used) == (0, 0)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=12))
def test_everyone_comes_to_an_end_with_all_their_tokens(asked):
    scheduler = make_scheduler(slots=4, blocks=10, context=40, prefill=8)
    asks = [
        make_sequence(str(n), prompt=prompt, max_tokens=count)
        for n, (prompt, count) in enumerate(asked)
    ]
    for one in asks:
        scheduler.add(one)

    for _ in range(2000):
        step(scheduler)
        if not scheduler.num_running + scheduler.num_waiting:
            break

    assert [len(one.output_ids) for one in asks] == [count for _, count in asked]


def test_a_thought_the_model_opens_itself_is_bounded_too():
    thinking = ThinkingBudget(2, CLOSE, in_thought=False, start_ids=(60, 61))
    sequence = make_sequence(thinking=thinking, max_tokens=100)
    for token in (60, 61, 1, 1):
        assert sequence.forced_token() is None
        sequence.accept(token)

    assert sequence.forced_token() == CLOSE[0]


def test_an_opener_in_the_middle_of_an_answer_is_text():
    thinking = ThinkingBudget(1, CLOSE, in_thought=False, start_ids=(60,), newline_ids=(NEWLINE,))
    late = make_sequence(thinking=thinking, max_tokens=100)
    early = make_sequence(thinking=thinking, max_tokens=100)
    for token in (NEWLINE, 5, 60, 1, 1):
        late.accept(token)
    for token in (NEWLINE, 60, 1):
        early.accept(token)

    assert late.forced_token() is None
    assert early.forced_token() == CLOSE[0]


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
