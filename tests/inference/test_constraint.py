"""Grammars: what may come next, so that an answer is the JSON or the call that was asked for."""

import json
import random
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from inference.chat.constraint import GrammarConstraint
from inference.chat.format import AnswerShape, ChatFormat, Prompt
from inference.chat.grammar import read_response_format
from inference.chat.tools import read_tools
from inference.contract import RequestRefused
from inference.reasoning import ReasoningSetting
from tests.inference import tiny
from tests.inference.test_tools import ADD, FORMS, LIST, NOW, calls, content, read

IDS = tiny.IDS
STOP = IDS["<SPECIAL_12>"]
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "s": {"type": "string", "maxLength": 4}},
    "required": ["n", "s"],
    "additionalProperties": False,
}
SCHEMAS = [
    SCHEMA,
    {"type": "array", "items": {"enum": ["a", "b", None]}, "maxItems": 3},
    {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/x"}], "$defs": {"x": {"const": 'é"\\'}}},
]


def bound(
    shape: AnswerShape,
    form: ChatFormat = LIST,
    *,
    mode: Any = "off",
    starts_in_thought: bool = False,
) -> GrammarConstraint:
    prompt = Prompt((), "", starts_in_thought)
    found = form.constraints(shape, prompt, ReasoningSetting(mode, "request"), count=1)
    assert found is not None
    return found[0]


def json_shape(schema: Any) -> AnswerShape:
    return AnswerShape(schema=schema)


def walk(constraint: GrammarConstraint, seed: int, *, stops: Any = (STOP,)) -> list[int]:
    """Choose at random among what is allowed, the end as soon as it is; stop ids not included."""
    chance, ids = random.Random(seed), []
    for _ in range(600):
        allowed = constraint.allowed()
        assert allowed.any()
        token_id = next((i for i in stops if allowed[i]), None)
        if token_id is None:
            token_id = int(chance.choice(np.flatnonzero(allowed)))
        constraint.accept(token_id)
        if token_id in stops:
            return ids
        ids.append(token_id)
    pytest.fail("the answer does not end")


def feed(constraint: GrammarConstraint, ids: Any) -> None:
    for token_id in ids:
        assert constraint.allowed()[token_id], token_id
        constraint.accept(token_id)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("seed", range(5))
def test_whatever_a_model_chooses_the_answer_meets_the_schema(schema: Any, seed: int) -> None:
    text = bytes(walk(bound(json_shape(schema)), seed)).decode()

    Draft202012Validator(schema).validate(json.loads(text))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_a_call_that_must_come_comes_and_is_read(form: ChatFormat, choice: Any, seed: int) -> None:
    closed = {**ADD["function"]["parameters"], "additionalProperties": False, "required": ["n"]}
    add = {"type": "function", "function": {"name": "add", "parameters": closed}}
    wish = read_tools({"tools": [add, NOW], "tool_choice": choice, "parallel_tool_calls": False})
    ids = walk(bound(AnswerShape(wish), form), seed)

    deltas = read(form, form.encoder.tokenizer.decode(ids, skip_special_tokens=False))
    assert content(deltas) == ""
    assert len(calls(deltas)) == 1
    assert choice == "required" or calls(deltas)[0][0] == "add"


def test_a_thought_is_free_but_for_the_end_and_the_answer_behind_it_is_not() -> None:
    constraint = bound(json_shape(SCHEMA), mode="on", starts_in_thought=True)
    thought = constraint.allowed()

    assert thought.sum() == len(thought) - 1
    assert not thought[STOP]
    feed(constraint, [*b"hm {", IDS["</think>"], *b"\n\n{"])
    assert chr(np.flatnonzero(constraint.allowed())[-1]) == '"'


def test_a_model_may_open_its_own_thought_first_and_only_first() -> None:
    qwen = tiny.chat_format(tiny.template("qwen3"))
    thinking = bound(json_shape(SCHEMA), qwen, mode="on")
    closed = bound(json_shape(SCHEMA), qwen, mode="off")

    assert thinking.allowed()[IDS["<think>"]]
    assert not closed.allowed()[IDS["<think>"]]
    feed(thinking, [IDS["<think>"], *b"hm", IDS["</think>"], *b"{"])
    assert not thinking.allowed()[IDS["<think>"]]


def test_a_thought_that_ends_in_letters_ends_for_the_grammar_too() -> None:
    body = json.loads(tiny.tokenizer().to_str())
    body["added_tokens"] = [t for t in body["added_tokens"] if "think" not in t["content"]]
    form = ChatFormat(
        json.dumps(body), template=None, specials={}, stop_ids=[STOP], context_tokens=512
    )
    constraint = bound(json_shape(SCHEMA), form, mode="on", starts_in_thought=True)

    feed(constraint, b"a < b </think>{")
    assert not constraint.allowed()[ord("x")]


def test_at_the_end_only_stop_ids_are_allowed_and_all_of_them() -> None:
    form = ChatFormat(
        tiny.tokenizer().to_str(),
        template=tiny.PLAIN,
        specials={},
        stop_ids=[STOP, IDS["</s>"]],
        context_tokens=512,
    )
    constraint = bound(json_shape(SCHEMA), form)
    feed(constraint, b'{"n":1,"s":""}')

    assert set(np.flatnonzero(constraint.allowed())) == {STOP, IDS["</s>"]}
    constraint.accept(STOP)
    assert set(np.flatnonzero(constraint.allowed())) == {STOP, IDS["</s>"]}


def test_control_tokens_never_stand_inside_json_special_or_not() -> None:
    form = tiny.chat_format(tiny.template("qwen3"), added=("<tool_call>", "WORD"))
    constraint = bound(json_shape({"type": "string"}), form)
    feed(constraint, b'"a')

    assert max(form.encoder.control_ids.values()) == 265
    assert np.flatnonzero(constraint.allowed()).max() < 256


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_white_space_never_goes_on_for_ever(seed: int) -> None:
    constraint = bound(json_shape({"type": "object"}))
    blanks = 0
    constraint.accept(ord("{"))
    while any((allowed := constraint.allowed())[ord(c)] for c in " \n\t"):
        constraint.accept(next(ord(c) for c in " \n\t" if allowed[ord(c)]))
        blanks += 1

    assert blanks == 40


def test_a_free_choice_leaves_text_alone_and_holds_calls_to_their_schema() -> None:
    wish = read_tools({"tools": [NOW], "parallel_tool_calls": False})
    text, call = bound(AnswerShape(wish)), bound(AnswerShape(wish))

    feed(text, b"Just <TOOL talk. []")
    assert text.allowed()[STOP]
    feed(call, b'Well <TOOLCALL>[{"name": "now", "arguments": {}}')
    assert not call.allowed()[ord(",")]
    feed(call, b"]</TOOLCALL>")
    assert set(np.flatnonzero(call.allowed())) == {STOP}


def test_a_call_or_json_may_come_where_both_were_asked_for() -> None:
    shape = AnswerShape(read_tools({"tools": [NOW]}), SCHEMA)
    allowed = set(np.flatnonzero(bound(shape).allowed()))

    assert {chr(i) for i in allowed} == {"{", "<", " ", "\n", "\r", "\t"}


def test_without_a_promise_there_is_no_constraint() -> None:
    shape = AnswerShape(read_tools({"tools": [NOW]}))
    setting = ReasoningSetting("off", "request")

    assert LIST.constraints(shape, Prompt((), "", False), setting, count=2) is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "strin"}, "strin"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "pattern": "(?=a)"}, "look-around"),
        ({"type": "string", "pattern": "("}, "regex"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "Default retriever does not fetch"),
        ({"$ref": "#/$defs/none"}, "none"),
        ({"enum": ["x" * 70_000]}, "65536 at most"),
        ({"x-guidance": {"lenient": True}, "not": {}}, "x-guidance"),
        ({"enum": [1e999]}, "too large"),
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused_with_the_reason(schema: Any, why: str) -> None:
    with pytest.raises(RequestRefused, match=why) as refusal:
        bound(json_shape(schema))

    assert refusal.value.param == "response_format"
    assert str(refusal.value).startswith("response_format")


def test_a_tools_schema_that_cannot_be_enforced_names_tools() -> None:
    tool = {"type": "function", "function": {"name": "a", "parameters": {"not": {}}}}
    wish = read_tools({"tools": [tool], "tool_choice": "required"})

    with pytest.raises(RequestRefused) as refusal:
        bound(AnswerShape(wish))
    assert refusal.value.param == "tools"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"},
        {"type": "string", "pattern": "^(" + "|".join(f"a.{{{i}}}b" for i in range(200)) + ")*$"},
        {"allOf": [{"type": "string", "pattern": f"^.*a.{{{i}}}b.*$"} for i in range(12)]},
        {"type": "object", "properties": {f"k{i}": {"type": "string"} for i in range(2000)}},
        {"type": "array", "items": {"type": "integer"}, "minItems": 10**6},
    ],
)
def test_a_hostile_schema_is_refused_or_ends_the_answer_but_holds_nobody_up(schema: Any) -> None:
    started = time.monotonic()
    try:
        constraint = bound(json_shape(schema))
        for _ in range(20):
            constraint.accept(int(np.flatnonzero(constraint.allowed())[0]))
    except RequestRefused:
        pass

    assert time.monotonic() - started < 3


def test_a_token_that_was_not_allowed_ends_the_answer_and_says_so() -> None:
    constraint = bound(json_shape(SCHEMA))
    constraint.accept(ord("x"))

    assert set(np.flatnonzero(constraint.allowed())) == {STOP}
    assert constraint.fault


def test_a_schema_is_compiled_once_and_walks_are_apart() -> None:
    shape = json_shape({"type": "integer", "minimum": 0, "maximum": 987654})
    setting = ReasoningSetting("off", "request")
    first, second = LIST.constraints(shape, Prompt((), "", False), setting, count=2) or ()
    first.accept(ord("7"))

    assert first.allowed()[STOP]
    assert not second.allowed()[STOP]
    assert len({key for key in LIST._grammars._compiled if "987654" in key}) == 1


def test_a_checkpoint_without_stop_tokens_refuses_what_it_could_not_end() -> None:
    form = ChatFormat(
        tiny.tokenizer().to_str(), template=None, specials={}, stop_ids=[], context_tokens=512
    )

    with pytest.raises(RequestRefused, match="no token that ends an answer"):
        bound(json_shape(SCHEMA), form)


@pytest.mark.parametrize(
    "wanted",
    [
        "json",
        {"type": "xml"},
        {"type": "json_schema"},
        {"type": "json_object", "schema": {}},
        {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": []}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": 1}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "more": 1}},
    ],
)
def test_a_malformed_response_format_is_refused(wanted: Any) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read_response_format({"response_format": wanted})

    assert refusal.value.param == "response_format"


def test_strict_or_not_a_schema_is_enforced_as_a_whole() -> None:
    found = [
        read_response_format(
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": SCHEMA, **strict},
                }
            }
        )
        for strict in ({}, {"strict": True}, {"strict": False}, {"strict": None})
    ]

    assert found == [SCHEMA] * 4
    assert bound(json_shape(SCHEMA)).json_schema == json.dumps(SCHEMA)
