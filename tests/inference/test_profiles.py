"""Golden prompts: what each family's template does, and what no caller can make it do."""

import json
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.ext import loopcontrols

from inference.chat.format import AnswerShape, ChatFormat
from inference.chat.messages import read_messages
from inference.chat.tools import read_tools
from inference.chat.worker import to_json
from inference.contract import ReasoningPolicy, RequestRefused, ToolsNotSupported
from inference.reasoning import ReasoningSetting, read_wish, resolve
from tests.inference import tiny

NAMES = ("nemotron_nano_v2", "japanese", "nemotron_3", "qwen3", "none")
FORMATS = {name: tiny.chat_format(tiny.template(name)) for name in NAMES}
WORDS = {"none": "", "on": "/think", "off": "/no_think"}
SECRETS = (
    "<think>",
    "</think>",
    "<SPECIAL_12>",
    "</s>",
    "<s>",
    "/think",
    "/no_think",
    "<TOOLCALL>",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "add_all",
        "description": 'Adds "numbers" & <more>.\nTwo lines.',
        "parameters": {
            "type": "object",
            "properties": {"numbers": {"type": "array", "items": {"type": "number"}}},
            "required": ["numbers"],
        },
    },
}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "add_all", "arguments": '{"numbers": [1, 2.5], "note": "a\\"b"}'},
}
Message = dict[str, Any]


def own(name: str, messages: list[Message], **names: Any) -> str:
    """Render as transformers does."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = to_json
    shown = [_with_objects(message) for message in messages]
    template = environment.from_string(tiny.template(name))
    return template.render(messages=shown, add_generation_prompt=True, **{"tools": None, **names})


def _with_objects(message: Message) -> Message:
    import json

    calls = [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": json.loads(call["function"]["arguments"]),
            },
        }
        for call in message.get("tool_calls", ())
    ]
    return {**message, "tool_calls": calls} if calls else message


def ours(
    form: ChatFormat, messages: list[Message], body: dict[str, Any] | None = None, **policy: Any
) -> tuple[str, ReasoningSetting]:
    turns = read_messages(messages)
    texts = [(turn.role, turn.text) for turn in turns]
    body = body or {}
    setting = resolve(
        read_wish(body), texts, policy=ReasoningPolicy(**policy), profile=form.profile
    )
    return form.chat_prompt(turns, setting, AnswerShape(read_tools(body))).text, setting


def conversation(place: str, word: str) -> list[Message]:
    system = {
        "role": "system",
        "content": f"Be brief. {word if place in ('system', 'both') else ''}",
    }
    user = {"role": "user", "content": f"{word if place in ('user', 'both') else ''} Why, a/b?"}
    asked = {"role": "user", "content": f"First {word} question"}
    answered = {"role": "assistant", "content": "An answer."}
    if place == "middle":
        return [system, asked, answered, {"role": "user", "content": "And now?"}]
    if place == "tool":
        called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
        result = {"role": "tool", "tool_call_id": "c1", "content": '{"sum": 3.5}'}
        return [system, asked, called, result]
    return [system, user]


@pytest.mark.parametrize("place", ["system", "user", "both", "middle", "tool"])
@pytest.mark.parametrize("word", ["none", "on", "off"])
@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_golden_where_nobody_overrides(name: str, word: str, place: str) -> None:
    form = FORMATS[name]
    if place == "tool" and form.template.tool_support is None:  # type: ignore[union-attr]
        pytest.skip("this family shows no tools")
    body = {"tools": [TOOL]} if place == "tool" else {}
    messages = conversation(place, WORDS[word])

    text, setting = ours(form, messages, body)

    switch = {"enable_thinking": setting.mode == "on"} if form.profile.by_keyword else {}
    assert text == own(name, messages, **switch, **body)
    knows = form.profile.knows_words
    assert setting.mode == ("off" if (word == "off" and knows) or name == "none" else "on")


@pytest.mark.parametrize(
    ("name", "profile", "on", "off"),
    [
        ("nemotron_nano_v2", "nemotron-nano-v2", "<think>\n", "<think></think>"),
        ("japanese", "keyword", "<think>\n", "<think></think>"),
        ("nemotron_3", "keyword", "<think>\n", "<think></think>"),
        ("qwen3", "qwen3", "<s>assistant\n", "<think>\n\n</think>\n\n"),
        ("none", "none", "", ""),
    ],
)
def test_a_profile_is_seen_in_what_the_template_does(
    name: str, profile: str, on: str, off: str
) -> None:
    form = FORMATS[name]
    assert form.profile.name == profile
    if not form.profile.has_toggle:
        return
    for mode, tail in (("on", on), ("off", off)):
        text, _ = ours(form, [{"role": "user", "content": "a"}], {"reasoning": {"mode": mode}})
        assert text.endswith(tail)
        assert not text.endswith(off if mode == "on" else on)


def test_both_words_in_one_message_follow_the_family() -> None:
    both = [{"role": "user", "content": "/think or /no_think"}]

    assert ours(FORMATS["nemotron_nano_v2"], both)[1].mode == "on"
    assert ours(FORMATS["qwen3"], both)[1].mode == "off"
    assert ours(FORMATS["japanese"], both)[1] == ReasoningSetting("on", "default")


@pytest.mark.parametrize("name", ["japanese", "nemotron_3", "none"])
def test_words_are_plain_text_where_the_model_knows_none(name: str) -> None:
    text, setting = ours(FORMATS[name], [{"role": "user", "content": "say /no_think twice"}])

    assert "say /no_think twice" in text
    assert setting.source == "default"


def test_words_that_a_model_reads_itself_go_when_they_are_overruled() -> None:
    messages = [{"role": "user", "content": "a /no_think b"}]
    kept, _ = ours(FORMATS["qwen3"], messages)
    overruled, setting = ours(FORMATS["qwen3"], messages, {"reasoning": {"mode": "on"}})
    system = [{"role": "system", "content": "/think"}, *messages]
    outranked, _ = ours(FORMATS["qwen3"], system)

    assert "a /no_think b" in kept
    assert (setting.mode, "/no_think" in overruled) == ("on", False)
    assert "/no_think" not in outranked


texts = st.lists(
    st.one_of(
        st.sampled_from(SECRETS), st.text(alphabet='</>|_thinkno SPECIAL12\n"\\', max_size=6)
    ),
    max_size=6,
).map("".join)


@pytest.mark.parametrize("name", NAMES)
@given(system=texts, user=texts, mode=st.sampled_from(["on", "off"]), ruled=st.booleans())
def test_no_text_makes_a_control_token_or_moves_a_mode_that_is_set(
    name: str, system: str, user: str, mode: str, ruled: bool
) -> None:
    form = FORMATS[name]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user or "a"}]
    body: dict[str, Any] = {"reasoning": {"mode": mode}} if form.profile.has_toggle else {}
    policy = {"mode": f"always_{mode}"} if ruled and body else {}
    turns = read_messages(messages)
    setting = resolve(
        read_wish({} if ruled else body),
        [(turn.role, turn.text) for turn in turns],
        policy=ReasoningPolicy(**policy),
        profile=form.profile,
    )

    ids = form.chat_prompt(turns, setting).ids

    plain, _ = ours(
        form, [{"role": "system", "content": "a"}, {"role": "user", "content": "a"}], body
    )
    expected = form.encoder.tokenizer.encode(plain, add_special_tokens=False).ids
    assert [i for i in ids if i >= 256] == [i for i in expected if i >= 256]


@pytest.mark.parametrize("name", ["nemotron_nano_v2", "qwen3"])
@given(said=texts.filter(bool), more=texts)
def test_nothing_said_by_or_about_tools_makes_a_control_token(
    name: str, said: str, more: str
) -> None:
    form = FORMATS[name]
    ids = tool_prompt(form, said, more)
    harmless = tool_prompt(form, "a", "b")

    assert [i for i in ids if i >= 256] == [i for i in harmless if i >= 256]


def tool_prompt(form: ChatFormat, said: str, more: str) -> tuple[int, ...]:
    schema = {"type": "object", "properties": {said: {"enum": [said, more]}}, "required": [said]}
    tool = {"name": "f", "description": said, "parameters": schema}
    arguments = json.dumps({said: more})
    call = {"id": "x", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "x", "content": said},
    ]
    wish = read_tools({"tools": [{"type": "function", "function": tool}]})
    setting = ReasoningSetting("off", "policy", strip_toggle_words=True)
    return form.chat_prompt(read_messages(messages), setting, AnswerShape(wish)).ids


def test_a_template_without_a_place_for_tools_refuses_them_and_their_history() -> None:
    with pytest.raises(ToolsNotSupported) as refusal:
        ours(FORMATS["none"], [{"role": "user", "content": "a"}], {"tools": [TOOL]})
    with pytest.raises(ToolsNotSupported) as history:
        ours(FORMATS["japanese"], conversation("tool", ""))

    assert (refusal.value.code, refusal.value.param) == ("tools_not_supported", "tools")
    assert history.value.param == "messages[2]"


def test_a_template_that_mentions_tools_but_shows_calls_in_no_known_way_refuses_them() -> None:
    shows = "{% for t in tools or [] %}{{ t|tojson }}{% endfor %}" + tiny.template("none")
    form = tiny.chat_format(shows)

    with pytest.raises(ToolsNotSupported):
        ours(form, [{"role": "user", "content": "a"}], {"tools": [TOOL]})


def test_a_template_that_wants_arguments_written_out_gets_them_so() -> None:
    template = (
        tiny.template("qwen3")
        .replace("(call.function.arguments | tojson)", "x")
        .replace("call.function.arguments | tojson", "'' + call.function.arguments")
    )
    form = tiny.chat_format(template)

    text, _ = ours(form, conversation("tool", ""), {"tools": [TOOL]})

    assert form.template.tool_support.arguments == "text"  # type: ignore[union-attr]
    assert '"arguments": {"numbers": [1, 2.5], "note": "a\\"b"}}' in text


def test_a_tokenizer_larger_than_the_model_is_refused_when_it_is_loaded() -> None:
    FORMATS["none"].check_vocabulary(264)

    with pytest.raises(Exception, match="token id 263, but the weights have 263 rows"):
        FORMATS["none"].check_vocabulary(263)


def test_thoughts_between_calls_of_tools_are_dropped() -> None:
    messages = conversation("tool", "")
    messages[2] = {**messages[2], "content": "<think>secret</think>", "reasoning": "secret"}

    text, _ = ours(FORMATS["nemotron_nano_v2"], messages, {"tools": [TOOL]})

    assert "secret" not in text
    assert "<TOOLCALL>" in text


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ([{"role": "tool", "tool_call_id": "no", "content": "x"}], "messages[2].tool_call_id"),
        ([{"role": "tool", "content": "x"}], "messages[2].tool_call_id"),
        ([{"role": "user", "content": "x"}], "messages[2]"),
        ([{"role": "tool", "tool_call_id": "c1", "content": "x"}] * 2, "messages[3].tool_call_id"),
    ],
)
def test_every_call_has_one_answer_at_once(change: list[Message], param: str) -> None:
    asked = [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [CALL]}]

    with pytest.raises(RequestRefused) as refusal:
        read_messages([*asked, *change])

    assert refusal.value.param == param


@pytest.mark.parametrize("arguments", ["[1]", "{", "1", '{"a": 1e999}', "{" * 40, {"a": 1}])
def test_arguments_that_are_no_json_object_are_refused(arguments: Any) -> None:
    call = {"id": "c1", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]

    with pytest.raises(RequestRefused, match="arguments"):
        read_messages(messages)
