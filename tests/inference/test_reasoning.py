from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import (
    FieldsContradict,
    ReasoningNotSupported,
    ReasoningPolicy,
    RequestRefused,
)
from inference.reasoning import (
    Profile,
    ReasoningSetting,
    read_wish,
    resolve,
    strip_toggle_words,
    text_signal,
    with_answer_room,
)

NEMOTRON = Profile("nemotron-nano-v2", default_mode="on")
QWEN = Profile("qwen3", default_mode="on", same_text_winner="last")
NO_TOGGLE = Profile("none", default_mode="off")
FREE = ReasoningPolicy()


def setting(
    body: dict[str, Any] | None = None,
    *,
    system: str = "",
    user: str = "hello",
    policy: ReasoningPolicy = FREE,
    profile: Profile = NEMOTRON,
) -> ReasoningSetting:
    texts = [("system", system), ("user", user)]
    return resolve(read_wish(body or {}), texts, policy=policy, profile=profile)


def chosen(*args: Any, **more: Any) -> tuple[str, str]:
    result = setting(*args, **more)
    return result.mode, result.source


@pytest.mark.parametrize(
    ("policy", "body", "system", "user", "expected"),
    [
        ("caller_decides", {}, "", "hi", ("on", "default")),
        ("caller_decides", {}, "", "hi /no_think", ("off", "user")),
        ("caller_decides", {}, "/think", "hi /no_think", ("on", "system")),
        ("caller_decides", {}, "/no_think", "hi /think", ("off", "system")),
        ("caller_decides", {"reasoning": {"mode": "off"}}, "/think", "/think", ("off", "request")),
        ("caller_decides", {"reasoning": {"mode": "on"}}, "/no_think", "", ("on", "request")),
        ("caller_decides", {"reasoning": {"mode": "auto"}}, "", "/no_think", ("off", "user")),
        ("always_on", {"reasoning": {"mode": "off"}}, "/no_think", "/no_think", ("on", "policy")),
        ("always_off", {"reasoning": {"mode": "on"}}, "/think", "/think", ("off", "policy")),
        ("always_off", {"thinking_token_budget": 99}, "", "/think", ("off", "policy")),
        ("always_on", {"thinking_token_budget": 0}, "", "", ("on", "policy")),
    ],
)
def test_precedence_is_policy_then_field_then_system_then_user_then_default(
    policy: Any, body: dict[str, Any], system: str, user: str, expected: tuple[str, str]
) -> None:
    assert chosen(body, system=system, user=user, policy=ReasoningPolicy(policy)) == expected


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        ({"reasoning": {"mode": "on"}}, "on"),
        ({"reasoning": {"mode": "off"}}, "off"),
        ({"reasoning": {"enabled": True}}, "on"),
        ({"reasoning": {"enabled": False}}, "off"),
        ({"reasoning": {"effort": "low"}}, "on"),
        ({"reasoning": {"max_tokens": 64}}, "on"),
        ({"reasoning": {"max_tokens": 0}}, "off"),
        ({"reasoning_effort": "none"}, "off"),
        ({"reasoning_effort": "minimal"}, "on"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "on"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "off"),
        ({"thinking_token_budget": 64}, "on"),
        ({"thinking_token_budget": 0}, "off"),
        ({"nvext": {"max_thinking_tokens": 64}}, "on"),
        ({"nvext": {"max_thinking_tokens": 0}}, "off"),
        ({"max_thinking_tokens": 0}, "off"),
    ],
)
def test_every_spelling_of_the_wish_is_honoured_against_contrary_text(
    body: dict[str, Any], mode: str
) -> None:
    contrary = "/no_think" if mode == "on" else "/think"

    assert chosen(body, system=contrary, user=contrary) == (mode, "request")


@pytest.mark.parametrize(
    ("body", "first", "second"),
    [
        (
            {"reasoning": {"mode": "on"}, "chat_template_kwargs": {"enable_thinking": False}},
            "reasoning.mode",
            "chat_template_kwargs.enable_thinking",
        ),
        (
            {"reasoning": {"mode": "off", "max_tokens": 5}},
            "reasoning.mode",
            "reasoning.max_tokens",
        ),
        ({"reasoning": {"mode": "on", "max_tokens": 0}}, "reasoning.mode", "reasoning.max_tokens"),
        (
            {"reasoning": {"mode": "auto", "enabled": True}, "reasoning_effort": "none"},
            "reasoning.enabled",
            "reasoning_effort",
        ),
        (
            {"reasoning_effort": "none", "thinking_token_budget": 512},
            "reasoning_effort",
            "thinking_token_budget",
        ),
        (
            {"thinking_token_budget": 512, "nvext": {"max_thinking_tokens": 256}},
            "thinking_token_budget",
            "nvext.max_thinking_tokens",
        ),
        (
            {"reasoning_effort": "low", "reasoning": {"effort": "high"}},
            "reasoning.effort",
            "reasoning_effort",
        ),
        (
            {"reasoning": {"exclude": True}, "include_reasoning": True},
            "reasoning.exclude",
            "include_reasoning",
        ),
    ],
)
def test_fields_that_contradict_are_refused_and_both_are_named(
    body: dict[str, Any], first: str, second: str
) -> None:
    with pytest.raises(FieldsContradict) as refusal:
        read_wish(body)

    assert refusal.value.status == 400
    assert first in str(refusal.value)
    assert second in str(refusal.value)


def test_the_same_wish_said_twice_is_no_contradiction() -> None:
    body = {
        "reasoning": {"mode": "on", "max_tokens": 64, "effort": "low"},
        "thinking_token_budget": 64,
        "reasoning_effort": "low",
    }

    assert setting(body).budget_tokens == 64


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"reasoning": "on"}, "reasoning"),
        ({"reasoning": {"mode": "maybe"}}, "reasoning.mode"),
        ({"reasoning": {"speed": 1}}, "reasoning.speed"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"thinking_token_budget": -1}, "thinking_token_budget"),
        ({"thinking_token_budget": True}, "thinking_token_budget"),
        ({"thinking_token_budget": 1.5}, "thinking_token_budget"),
        (
            {"chat_template_kwargs": {"enable_thinking": "no"}},
            "chat_template_kwargs.enable_thinking",
        ),
        ({"chat_template_kwargs": {"documents": []}}, "chat_template_kwargs.documents"),
        ({"nvext": {"annotations": []}}, "nvext.annotations"),
    ],
)
def test_a_malformed_field_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read_wish(body)

    assert refusal.value.param == param


@pytest.mark.parametrize(
    "body",
    [
        {"reasoning": {"mode": "on"}},
        {"reasoning": {"mode": "off"}},
        {"reasoning_effort": "low"},
        {"thinking_token_budget": 8},
        {"reasoning": {"mode": "auto", "max_tokens": 8}},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ],
)
def test_a_model_without_a_toggle_refuses_an_explicit_wish(body: dict[str, Any]) -> None:
    with pytest.raises(ReasoningNotSupported) as refusal:
        setting(body, profile=NO_TOGGLE)

    assert refusal.value.problem()["code"] == "reasoning_not_supported"


def test_a_model_without_a_toggle_leaves_the_words_in_the_text() -> None:
    result = setting(system="/think", profile=NO_TOGGLE)

    assert (result.mode, result.source, result.strip_toggle_words) == ("off", "default", False)


@pytest.mark.parametrize(
    ("cap", "body", "budget"),
    [
        (None, {}, None),
        (100, {}, 100),
        (100, {"thinking_token_budget": 400}, 100),
        (400, {"thinking_token_budget": 100}, 100),
        (100, {"reasoning_effort": "high"}, 100),
        (None, {"reasoning_effort": "low"}, 1024),
        (None, {"reasoning": {"mode": "auto", "max_tokens": 7}}, 7),
        (None, {"reasoning_effort": "high", "thinking_token_budget": 9}, 9),
    ],
)
def test_the_budget_is_the_callers_within_the_endpoints_cap(
    cap: int | None, body: dict[str, Any], budget: int | None
) -> None:
    policy = ReasoningPolicy("caller_decides", cap)

    assert setting(body, policy=policy).budget_tokens == budget


def test_a_cap_of_zero_turns_reasoning_off_whoever_asked() -> None:
    policy = ReasoningPolicy("caller_decides", 0)

    assert chosen({"reasoning": {"mode": "on"}}, policy=policy) == ("off", "policy")


def test_always_on_ignores_a_callers_zero_but_keeps_its_own_cap() -> None:
    result = setting({"thinking_token_budget": 0}, policy=ReasoningPolicy("always_on", 64))

    assert (result.mode, result.budget_tokens) == ("on", 64)


def test_the_endpoints_default_mode_replaces_the_models() -> None:
    policy = ReasoningPolicy("caller_decides", None, "off")

    assert chosen(policy=policy) == ("off", "default")
    assert chosen(user="/think", policy=policy) == ("on", "user")


def test_an_effort_scales_with_a_small_context() -> None:
    small = Profile("qwen3", default_mode="on", context_tokens=512)
    budgets = [
        setting({"reasoning_effort": effort}, profile=small).budget_tokens
        for effort in ("minimal", "low", "medium", "high")
    ]

    assert budgets == [16, 64, 128, 256]


@pytest.mark.parametrize(
    "text",
    ["/thinkpad", "re/think", "/usr/think", "/think-tank", "/no_thinking", "/think.py", "</think>"],
)
def test_longer_words_and_paths_are_not_toggles(text: str) -> None:
    assert text_signal(text) is None
    assert strip_toggle_words(text) == text


@pytest.mark.parametrize("text", ["/think", "a /think.", "(/think)", "x\n/think\ny", "/think!"])
def test_a_toggle_word_is_seen_wherever_it_stands_alone(text: str) -> None:
    assert text_signal(text) == "on"
    assert "/think" not in strip_toggle_words(text)


def test_both_words_in_one_text_follow_the_models_own_rule() -> None:
    user = "/think and then /no_think"

    assert chosen(user=user, profile=NEMOTRON) == ("on", "user")
    assert chosen(user=user, profile=QWEN) == ("off", "user")


def test_the_last_signal_among_messages_of_one_role_wins() -> None:
    texts = [("user", "/no_think"), ("assistant", "/think"), ("user", "more")]
    result = resolve(read_wish({}), texts, policy=FREE, profile=NEMOTRON)

    assert (result.mode, result.source) == ("off", "user")


@given(text=st.text(alphabet="/nothik_ ape.", max_size=30))
def test_text_changes_exactly_when_it_held_a_toggle_word(text: str) -> None:
    kept = strip_toggle_words(text)

    assert (text_signal(text) is None) == (kept == text)
    assert text_signal(kept) is None


@given(max_new=st.integers(1, 10_000), budget=st.none() | st.integers(1, 10_000))
def test_room_for_the_answer_is_always_kept(max_new: int, budget: int | None) -> None:
    result = with_answer_room(ReasoningSetting("on", "request", budget), max_new)

    assert result.budget_tokens is not None
    assert 0 <= result.budget_tokens < max_new
    assert budget is None or result.budget_tokens <= budget


def test_a_policy_that_contradicts_itself_cannot_exist() -> None:
    with pytest.raises(ValueError, match="always_on with max_budget_tokens 0"):
        ReasoningPolicy("always_on", 0)
