"""What the sampler may choose, from logits small enough to check by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.protocol import SamplingParams
from inference.sampler import Chooser, Row, Sampled
from inference.sampler import choose as choose_batch

# Probabilities 0.5, 0.25, 0.15, 0.1 at temperature 1.
LOGITS = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()


class Sampler:
    """One request alone in its batch."""

    def __init__(self, params, prompt_ids) -> None:
        self.chooser = Chooser(params, prompt_ids)

    def choose(self, logits, output_ids, *, forced, may_stop, allowed=None) -> Sampled:
        row = Row(self.chooser, output_ids, forced, may_stop, allowed)
        return choose_batch(logits[None], [row])[0]


def choose(*, logits=LOGITS, prompt=(), output=(), forced=None, may_stop=True, **params):
    sampler = Sampler(SamplingParams(**{"seed": 0, **params}), tuple(prompt))
    return sampler.choose(logits, list(output), forced=forced, may_stop=may_stop)


def chosen(draws: int = 400, **params) -> set[int]:
    """Return every token that comes up in `draws` draws of one request."""
    sampler = Sampler(SamplingParams(**{"seed": 0, **params}), ())
    return {sampler.choose(LOGITS, [], forced=None, may_stop=True).token_id for _ in range(draws)}


def test_temperature_zero_takes_the_likeliest():
    assert choose(temperature=0).token_id == 0


def test_draws_follow_the_probabilities():
    sampler = Sampler(SamplingParams(seed=3), ())
    draws = [sampler.choose(LOGITS, [], forced=None, may_stop=True).token_id for _ in range(4000)]

    shares = [draws.count(token) / 4000 for token in range(4)]

    assert shares == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.03)


def test_a_high_temperature_evens_the_chances_and_a_low_one_sharpens_them():
    assert chosen(temperature=50.0) == {0, 1, 2, 3}
    assert chosen(temperature=0.05) == {0}


@pytest.mark.parametrize(
    ("params", "possible"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 1}, {0}),
        ({"top_k": 4}, {0, 1, 2, 3}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.51}, {0, 1}),
        ({"top_p": 0.8}, {0, 1, 2}),
        ({"min_p": 0.4}, {0, 1}),
        ({"min_p": 0.25}, {0, 1, 2}),
        ({"min_p": 1.0}, {0}),
        ({"top_k": 3, "top_p": 0.5}, {0}),
    ],
)
def test_filters_leave_exactly_the_likeliest(params, possible):
    assert chosen(**params) == possible


def test_a_presence_penalty_counts_once_and_a_frequency_penalty_each_time():
    output = [0, 0, 0]

    assert choose(temperature=0, output=output, presence_penalty=0.6).token_id == 0
    assert choose(temperature=0, output=output, presence_penalty=0.8).token_id == 1
    assert choose(temperature=0, output=output, frequency_penalty=0.2).token_id == 0
    assert choose(temperature=0, output=output, frequency_penalty=0.3).token_id == 1


def test_presence_and_frequency_penalties_pass_over_the_prompt():
    assert (
        choose(temperature=0, prompt=[0], presence_penalty=2.0, frequency_penalty=2.0).token_id == 0
    )


def test_a_repetition_penalty_counts_the_prompt_and_pushes_both_signs_down():
    positive = torch.tensor([2.0, 1.5])
    negative = torch.tensor([-1.0, -1.5])

    assert choose(logits=positive, prompt=[0], temperature=0, repetition_penalty=1.4).token_id == 1
    assert choose(logits=positive, prompt=[0], temperature=0, repetition_penalty=1.2).token_id == 0
    assert choose(logits=negative, prompt=[0], temperature=0, repetition_penalty=1.6).token_id == 1


def test_penalties_leave_the_callers_logits_alone():
    logits = LOGITS.clone()

    choose(logits=logits, prompt=[0], output=[1], presence_penalty=1, repetition_penalty=2)

    assert torch.equal(logits, LOGITS)


def test_a_stop_token_is_ruled_out_until_it_may_stop():
    assert choose(temperature=0, stop_ids=(0,), may_stop=False).token_id == 1
    assert choose(temperature=0, stop_ids=(0,), may_stop=True).token_id == 0


def test_a_forced_token_is_taken_and_spends_no_chance():
    forced = Sampler(SamplingParams(seed=9), ())
    free = Sampler(SamplingParams(seed=9), ())

    first = forced.choose(LOGITS, [], forced=3, may_stop=True).token_id
    after = [forced.choose(LOGITS, [], forced=None, may_stop=True).token_id for _ in range(20)]

    assert first == 3
    assert after == [
        free.choose(LOGITS, [], forced=None, may_stop=True).token_id for _ in range(20)
    ]


def test_logprobs_are_those_of_the_model_not_of_the_filtered_draw():
    report = choose(temperature=0.3, top_k=1, logprobs=2)

    assert report.logprob == pytest.approx(math.log(0.5))
    assert report.top == pytest.approx({0: math.log(0.5), 1: math.log(0.25)})


def test_no_logprobs_are_reported_unasked():
    report = choose()

    assert (report.logprob, report.top) == (None, None)


def test_requests_without_a_seed_differ():
    def draw() -> list[int]:
        sampler = Sampler(SamplingParams(temperature=5.0), ())
        return [sampler.choose(LOGITS, [], forced=None, may_stop=True).token_id for _ in range(40)]

    assert draw() != draw()


@settings(max_examples=200, deadline=None)
@given(
    logits=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8),
    temperature=st.floats(0, 2),
    top_p=st.floats(0, 1, exclude_min=True),
    top_k=st.integers(0, 9),
    min_p=st.floats(0, 1),
    repetition=st.floats(0, 2, exclude_min=True),
    presence=st.floats(-2, 2),
    frequency=st.floats(-2, 2),
)
def test_whatever_a_caller_may_ask_for_some_token_is_chosen(
    logits, temperature, top_p, top_k, min_p, repetition, presence, frequency
):
    report = choose(
        logits=torch.tensor(logits),
        prompt=[0],
        output=[len(logits) - 1],
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        min_p=min_p,
        repetition_penalty=repetition,
        presence_penalty=presence,
        frequency_penalty=frequency,
    )

    assert 0 <= report.token_id < len(logits)


@pytest.mark.parametrize(
    "extreme",
    [
        {"temperature": 1e-45},
        {"temperature": 5e-324},
        {"temperature": 1e-5},
        {"repetition_penalty": 1e-45},
        {"repetition_penalty": 5e-324},
        {"top_p": 5e-324},
    ],
)
def test_extremes_that_the_api_accepts_do_not_break_the_draw(extreme):
    logits = torch.tensor([3.0, 2.0, -1.0, -2.0])

    assert choose(logits=logits, prompt=[0, 1, 2], **extreme).token_id in range(4)
