"""Tools: what is offered, how a call is read, and that no markup is seen."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.chat.calls import SYNTAXES
from inference.chat.format import AnswerShape, ChatFormat
from inference.chat.output import Delta
from inference.chat.tools import ToolWish, read_tools
from inference.contract import RequestRefused
from tests.inference import tiny

ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
MARKERS = ("<tool_call>", "</tool_call>")
LIST = tiny.chat_format(tiny.template("nemotron_nano_v2"))
LETTERS = tiny.chat_format(tiny.template("qwen3"))
TOKENS = tiny.chat_format(tiny.template("qwen3"), added=MARKERS)
FORMS = {"list": LIST, "letters": LETTERS, "tokens": TOKENS}


def markup(form: ChatFormat, *bodies: str) -> str:
    if form is LIST:
        return f"<TOOLCALL>[{', '.join(bodies)}]</TOOLCALL>"
    return "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)


def function(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "a", **more}}


def ids_of(form: ChatFormat, text: str) -> list[int]:
    return list(form.encoder.tokenizer.encode(text, add_special_tokens=False).ids)


def read(form: ChatFormat, text: str, **more: Any) -> list[Delta]:
    shape = AnswerShape(read_tools({"tools": [ADD, NOW]}))
    settings = {"starts_in_thought": False, "stops": (), "trim": True, "shape": shape, **more}
    parser = form.parser(**settings)
    deltas = [delta for token_id in ids_of(form, text) for delta in parser.push(token_id)]
    return deltas + parser.finish()


def content(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if delta.kind == "content")


def calls(deltas: list[Delta]) -> list[tuple[str, Any]]:
    parts = [delta for delta in deltas if delta.call is not None]
    found = []
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        assert head.call is not None
        assert body.call is not None
        assert (head.text, head.call.index) == ("", body.call.index)
        found.append((head.call.name, json.loads(body.text)))
    return found


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_calls_are_read_in_order_and_their_markup_is_not_seen(form: ChatFormat) -> None:
    one, two = '{"name": "add", "arguments": {"n": 1}}', '{"name": "now", "arguments": {}}'
    deltas = read(form, "I will call.\n" + markup(form, one, two))

    assert calls(deltas) == [("add", {"n": 1}), ("now", {})]
    assert content(deltas) == "I will call."
    assert [d.call.index for d in deltas if d.call] == [0, 0, 1, 1]
    assert len({d.call.id for d in deltas if d.call and d.call.id}) == 2


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_call_behind_a_thought_is_read_and_one_inside_it_is_not(form: ChatFormat) -> None:
    call = markup(form, '{"name": "now"}')
    deltas = read(form, f"shall I {call}?</think>\n{call}", starts_in_thought=True)

    assert calls(deltas) == [("now", {})]
    assert content(deltas) == ""
    assert "now" in "".join(delta.text for delta in deltas if delta.kind == "reasoning")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "body",
    [
        '{"name": "add", "arguments": {"n": 1}',
        '{"name": "rm", "arguments": {}}',
        '{"name": "add", "arguments": [1]}',
        '{"name": "add", "arguments": {"n": NaN}}',
        '{"name": ["add"], "arguments": {}}',
        '{"name": "add", "arguments": {}, "id": 3}',
        "not JSON",
        "",
    ],
)
def test_a_malformed_call_comes_back_as_content_and_nothing_is_lost(
    form: ChatFormat, body: str
) -> None:
    bad = markup(form, body)
    deltas = read(form, "a " + bad + " b")

    assert calls(deltas) == []
    assert content(deltas) == "a " + bad + " b"


@pytest.mark.parametrize("form", [LETTERS, TOKENS], ids=["letters", "tokens"])
def test_a_good_call_behind_a_bad_one_is_still_a_call(form: ChatFormat) -> None:
    deltas = read(form, markup(form, "bad", '{"name": "now"}'))

    assert calls(deltas) == [("now", {})]
    assert content(deltas) == markup(form, "bad")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_closing_marker_inside_an_argument_does_not_end_the_call(form: ChatFormat) -> None:
    tricky = '</tool_call></TOOLCALL> \\ " ]'
    body = json.dumps({"name": "add", "arguments": {"n": tricky}})
    if form is TOKENS:
        body = body.replace("</tool_call>", "")
        tricky = tricky.replace("</tool_call>", "")

    assert calls(read(form, markup(form, body))) == [("add", {"n": tricky})]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_call_cut_before_its_closing_marker_counts_and_half_a_call_is_content(
    form: ChatFormat,
) -> None:
    whole = markup(form, '{"name": "now", "arguments": {}}')
    closer = "</TOOLCALL>" if form is LIST else "</tool_call>"
    cut = whole.removesuffix(closer)
    half = cut[: cut.index("arg")]

    assert calls(read(form, cut)) == [("now", {})]
    assert (calls(read(form, half)), content(read(form, half))) == ([], half)


def test_letters_of_a_marker_are_text_where_the_marker_is_a_token() -> None:
    parser = TOKENS.parser(
        starts_in_thought=False,
        stops=(),
        trim=True,
        shape=AnswerShape(read_tools({"tools": [NOW]})),
    )
    text = '<tool_call>{"name": "now"}</tool_call>'
    deltas = [delta for byte in text.encode() for delta in parser.push(byte)] + parser.finish()

    assert (calls(deltas), content(deltas)) == ([], text)


def test_stop_strings_end_the_content_and_do_not_reach_into_arguments() -> None:
    body = '{"name": "add", "arguments": {"n": "END"}}'
    inside = read(LIST, "x " + markup(LIST, body), stops=["END"])
    before = read(LIST, "x END y " + markup(LIST, body), stops=["END"])

    assert (content(inside), calls(inside)) == ("x", [("add", {"n": "END"})])
    assert (content(before), calls(before)) == ("x", [])


@given(
    pieces=st.lists(
        st.sampled_from(["<TOOLCALL>", "</TOOLCALL>", "[", "]", '"', "\\", "<TOOL", "x", " "])
        | st.just('[{"name": "now"}]'),
        max_size=12,
    )
)
def test_whatever_is_written_it_comes_out_as_content_or_as_calls(pieces: list[str]) -> None:
    text = "".join(pieces)
    deltas = read(LIST, text, trim=False)

    shown = content(deltas)
    if calls(deltas):
        assert len(shown) < len(text)
        assert all(name == "now" for name, _ in calls(deltas))
    else:
        assert shown == text


@given(text=st.text(alphabet="<TOLCA>/tol_c[]", max_size=30))
def test_without_offered_tools_text_is_never_read_as_a_call(text: str) -> None:
    assert content(read(LIST, text, trim=False, shape=AnswerShape())) == text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": []}, "tools"),
        ({"tools": [NOW] * 2}, "tools"),
        ({"tools": [NOW] * 129}, "tools"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [{**NOW, "extra": 1}]}, "tools[0]"),
        ({"tools": [function(name="a b")]}, "tools[0].function.name"),
        ({"tools": [function(name="a" * 65)]}, "tools[0].function.name"),
        ({"tools": [function(parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [function(parameters={"type": "array"})]}, "tools[0].function.parameters"),
        ({"tools": [function(code="x")]}, "tools[0].function.code"),
        ({"tools": [function(description=1)]}, "tools[0].function.description"),
        ({"tools": [function(strict="yes")]}, "tools[0].function.strict"),
        ({"tools": [function(description="x" * 300_000)]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [NOW], "tool_choice": "any"}, "tool_choice"),
        (
            {"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "add"}}},
            "tool_choice",
        ),
        ({"tools": [NOW], "parallel_tool_calls": 1}, "parallel_tool_calls"),
    ],
)
def test_a_malformed_offer_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read_tools(body)

    assert refusal.value.param == param


def test_a_schema_that_is_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"items": deep}
    tool = {"type": "function", "function": {"name": "a", "parameters": deep}}

    with pytest.raises(RequestRefused, match="deeper than 32"):
        read_tools({"tools": [tool]})


def test_a_choice_says_who_may_be_called_and_what_the_model_is_shown() -> None:
    named = {"type": "function", "function": {"name": "add"}}
    wishes = {
        str(choice): read_tools({"tools": [ADD, NOW], "tool_choice": choice})
        for choice in ("auto", "none", "required", named)
    }

    def names(wish: ToolWish) -> list[list[str]]:
        return [[tool.name for tool in group] for group in (wish.tools, wish.callable_tools)]

    assert names(wishes["none"]) == [[], []]
    assert names(wishes["auto"]) == names(wishes["required"]) == [["add", "now"]] * 2
    assert names(wishes[str(named)]) == [["add", "now"], ["add"]]
    assert [wish.must_call for wish in wishes.values()] == [False, False, True, True]
    assert [wish.is_bound for wish in wishes.values()] == [False, False, True, True]


def test_strict_functions_and_single_calls_bind_a_free_choice_too() -> None:
    strict = {"type": "function", "function": {"name": "a", "strict": True}}

    assert read_tools({"tools": [strict]}).is_bound
    assert read_tools({"tools": [NOW], "parallel_tool_calls": False}).is_bound


def test_each_syntax_is_seen_in_its_own_template() -> None:
    found = [form.template.tool_support for form in (LIST, LETTERS)]  # type: ignore[union-attr]

    assert [support.syntax for support in found if support] == list(SYNTAXES)
