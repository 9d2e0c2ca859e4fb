"""The pure parts of the guard: what is read, what is held back, what a stage says."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import GuardFailed, RequestRefused
from inference.guard.events import read_event
from inference.guard.hold import Hold, visible
from inference.guard.stages import GuardRunner, first_match, plain
from inference.guard.texts import choice_text, output_text, refuse_unreadable, request_text
from registry.artifact.guard import Pattern, read_guard
from tests.inference.guards import GuardServer, guard_of, model_stage, rules
from tests.inference.serving import served

CHAT = "/v1/chat/completions"
ANY_TEXT = st.text(max_size=60)
JSON_VALUES = st.recursive(
    ANY_TEXT | st.integers() | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def chunk(**delta: Any) -> bytes:
    finish = delta.pop("finish_reason", None)
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    body = {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


class TestRequests:
    def test_the_text_of_one_message_is_read_as_it_is(self) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi there"}], "user": "u1"}

        assert request_text(body) == "Hi there"

    def test_parts_are_joined_as_the_runtime_joins_them(self) -> None:
        parts = [{"type": "text", "text": "how to"}, {"type": "text", "text": "do it"}]

        assert request_text({"messages": [{"role": "user", "content": parts}]}) == "how to\ndo it"

    @given(st.sampled_from(["messages", "input", "tools", "text", "unheard_of"]), JSON_VALUES)
    def test_no_text_is_passed_over_wherever_it_stands(self, name: str, value: Any) -> None:
        placed = {name: [value, {"deep": [{"er": "needle in it"}]}]}

        assert "needle in it" in request_text(placed)

    def test_names_that_a_caller_gives_in_a_tool_are_read(self) -> None:
        schema = {"type": "object", "properties": {"secret plan": {"type": "string"}}}
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}

        assert "secret plan" in request_text({"tools": [tool]})

    def test_an_escape_inside_the_arguments_of_a_call_hides_nothing(self) -> None:
        call = {"function": {"name": "f", "arguments": '{"q": "\\u0062omb"}'}}

        assert "bomb" in request_text({"messages": [{"role": "assistant", "tool_calls": [call]}]})

    @pytest.mark.parametrize("text", ["bo/thinkmb", "bo/no_thinkmb", "bo/no_/thinkthinkmb"])
    def test_a_toggle_word_that_a_template_takes_out_hides_nothing(self, text: str) -> None:
        assert "bomb" in request_text({"messages": [{"role": "user", "content": text}]})

    def test_settings_of_a_few_words_are_no_text_and_anything_else_in_them_is(self) -> None:
        said = {"messages": [{"role": "user", "content": "Hi"}], "tool_choice": "auto"}

        assert request_text({**said, "reasoning": {"mode": "off", "effort": "low"}}) == "Hi"
        assert "smuggled" in request_text({**said, "reasoning": {"mode": "smuggled"}})

    def test_labels_that_no_model_sees_are_not_read(self) -> None:
        assert request_text({"prompt": "x", "user": "u", "metadata": {"a": "b"}}) == "x"

    @pytest.mark.parametrize(
        ("field", "body"),
        [
            ("logprobs", {"logprobs": True}),
            ("logprobs", {"prompt": "x", "logprobs": 1}),
            ("top_logprobs", {"top_logprobs": 3}),
            ("n", {"stream": True, "n": 2}),
            ("prompt", {"prompt": [17, 4]}),
        ],
    )
    def test_what_a_guard_cannot_read_is_refused_by_name(
        self, field: str, body: dict[str, Any]
    ) -> None:
        with pytest.raises(RequestRefused) as refusal:
            refuse_unreadable(body)

        assert refusal.value.param == field

    def test_a_body_that_is_nested_without_end_is_refused(self) -> None:
        deep: Any = "x"
        for _ in range(100):
            deep = [deep]

        with pytest.raises(RequestRefused):
            request_text({"messages": deep})


class TestAnswers:
    def test_thought_answer_and_calls_are_all_read(self) -> None:
        call = {"id": "1", "function": {"name": "fn", "arguments": '{"a": "\\u0078yz"}'}}
        message = {"role": "assistant", "content": "C", "reasoning": "T", "tool_calls": [call]}
        said = choice_text({"index": 0, "message": message})

        assert all(text in said.split("\n") for text in ("C", "T", "fn", "xyz"))

    @pytest.mark.parametrize("odd", [{}, {"message": None}, {"text": None}])
    def test_a_choice_of_another_form_fails(self, odd: dict[str, Any]) -> None:
        with pytest.raises(GuardFailed):
            choice_text(odd)

    def test_a_response_of_another_form_fails(self) -> None:
        with pytest.raises(GuardFailed):
            output_text(None)


class TestEvents:
    @pytest.mark.parametrize(
        "data",
        [
            b"data: {broken\n\n",
            b"data: []\n\n",
            b'data: {"type": "response.audio.delta", "delta": "x"}\n\n',
            chunk(audio={"data": "x"}),
            chunk(content=["x"]),
            b'data: {"choices": [{"index": 1, "delta": {"content": "x"}}]}\n\n',
            b'data: {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [1]}}]}\n\n',
        ],
    )
    @pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
    def test_an_event_of_an_unknown_kind_fails(self, path: str, data: bytes) -> None:
        with pytest.raises(GuardFailed):
            read_event(path, data)

    def test_a_thought_under_both_its_names_is_one(self) -> None:
        event = read_event(CHAT, chunk(reasoning="a", reasoning_content="a"))

        assert event.parts == (("thought", "a"),)

    def test_a_comment_says_nothing(self) -> None:
        assert read_event(CHAT, b": ping\n\n").parts == ()


def fed(hold: Hold, texts: list[str], forbidden: str) -> tuple[bytes, bool]:
    """Feed a stream as the gateway does; return what went out, and whether it was cut."""
    out = b""
    events = [chunk(role="assistant", content=""), *(chunk(content=one) for one in texts)]
    for data in [*events, chunk(finish_reason="stop"), b"data: [DONE]\n\n"]:
        hold.add(data, read_event(CHAT, data))
        if hold.is_due:
            if forbidden in hold.text:
                return out, True
            hold.passed()
        out += hold.ready()
    return out, False


def spoken(out: bytes) -> str:
    said = ""
    for line in out.decode().split("\n"):
        if line.startswith("data: {"):
            (choice,) = json.loads(line[6:])["choices"]
            said += choice["delta"].get("content") or ""
    return said


class TestHolding:
    @given(st.lists(ANY_TEXT, max_size=30), st.integers(20, 60))
    def test_a_stream_that_passes_goes_out_whole_and_unchanged(
        self, texts: list[str], window: int
    ) -> None:
        hold = Hold(window)
        out, cut = fed(hold, texts, forbidden="\0never\0")

        assert not cut
        assert hold.is_empty
        assert spoken(out) == "".join(texts)

    @given(
        st.text(alphabet="ab ", max_size=200),
        st.text(alphabet="ab ", max_size=200),
        st.integers(1, 7),
        st.integers(20, 60),
    )
    def test_not_one_character_of_a_forbidden_text_goes_out(
        self, before: str, after: str, size: int, window: int
    ) -> None:
        forbidden = "THE-SECRET-0123456"
        whole = before + forbidden + after
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        out, cut = fed(Hold(window), pieces, forbidden)

        assert cut
        assert before.startswith(spoken(out))

    def test_invisible_characters_do_not_stretch_the_window(self) -> None:
        hold = Hold(20)
        stretched = [char + "\u200b" * 30 for char in "THE-SECRET-012345"]
        for data in [chunk(content="x" * 25), *(chunk(content=one) for one in stretched)]:
            hold.add(data, read_event(CHAT, data))
            if hold.is_due:
                hold.passed()
            assert "T" not in spoken(hold.ready())
        assert visible("".join(stretched)) == 17

    def test_the_first_event_goes_out_at_once(self) -> None:
        hold = Hold(200)
        first = chunk(role="assistant", content="")
        hold.add(first, read_event(CHAT, first))

        assert hold.ready() == first

    def test_a_call_goes_out_only_when_it_was_read_whole(self) -> None:
        hold = Hold(20)
        function = {"name": "f", "arguments": '{"q": "' + "x" * 100 + '\\u0062omb"}'}
        for data in (chunk(tool_calls=[{"index": 0, "function": function}]),):
            hold.add(data, read_event(CHAT, data))
        hold.passed()

        assert hold.ready() == b""
        end = chunk(finish_reason="tool_calls")
        hold.add(end, read_event(CHAT, end))
        assert "bomb" in hold.text

    def test_an_end_that_says_what_was_never_said_fails(self) -> None:
        hold = Hold(20)
        done = b'data: {"type": "response.output_text.done", "text": "surprise"}\n\n'

        with pytest.raises(GuardFailed):
            hold.add(done, read_event("/v1/responses", done))


class TestRules:
    @pytest.mark.parametrize(
        "text", ["a BOMB", "a \uff42\uff4f\uff4d\uff42", "b\u200bo\u00admb", "BO\u2060MB"]
    )
    def test_a_word_is_found_as_a_reader_would_see_it(self, text: str) -> None:
        assert first_match((Pattern("p", "bomb"),), text) == "p"

    @given(ANY_TEXT)
    def test_plain_text_is_plain_already(self, text: str) -> None:
        assert plain(plain(text)) == plain(text)

    def test_a_pattern_that_would_take_for_ever_elsewhere_does_not_here(self) -> None:
        assert first_match((Pattern("p", "(a+)+$"),), "a" * 50_000 + "!") is None


async def asked(stage: dict[str, Any], text: str, side: Any = "input", **more: Any) -> Any:
    guard = read_guard(guard_of(given=[stage], said=[stage]))
    async with httpx.AsyncClient(trust_env=False) as client:
        return await GuardRunner(guard, client, **more).check(side, text)


class TestStages:
    async def test_a_guard_model_is_asked_with_the_text_in_its_prompt(self) -> None:
        server = GuardServer()
        async with served(server.app()) as url:
            assert await asked(model_stage(url), "all fine") is None
            found = await asked(model_stage(url), "a forbidden thing")

        assert (found.side, found.stage, found.name) == ("input", 0, "watcher")
        assert server.asked[0]["messages"][0]["content"] == "Judge:\nall fine\nIs it safe?"
        assert server.asked[0]["temperature"] == 0

    @pytest.mark.parametrize("raw", ["", "perhaps", "I cannot help with that", ["safe"], 7])
    async def test_a_guard_model_that_says_neither_fails(self, raw: Any) -> None:
        async with served(GuardServer(raw=raw).app()) as url:
            with pytest.raises(GuardFailed):
                await asked(model_stage(url), "x")

    async def test_a_guard_model_that_says_both_fails(self) -> None:
        async with served(GuardServer(raw="safe, or unsafe").app()) as url:
            with pytest.raises(GuardFailed, match="both"):
                await asked(model_stage(url, unsafe="unsafe"), "x")

    @pytest.mark.parametrize("status", [204, 301, 400, 500])
    async def test_any_status_but_200_fails(self, status: int) -> None:
        async with served(GuardServer(status=status).app()) as url:
            with pytest.raises(GuardFailed):
                await asked(model_stage(url), "x")

    async def test_a_guard_that_cannot_be_reached_fails(self) -> None:
        with pytest.raises(GuardFailed, match="cannot be reached"):
            await asked(model_stage("http://127.0.0.1:9"), "x")

    async def test_a_guard_that_is_late_fails(self) -> None:
        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(late, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(GuardFailed):
                await asked(model_stage(f"http://127.0.0.1:{port}"), "x")

    async def test_the_key_comes_from_the_named_variable(self) -> None:
        server = GuardServer()
        async with served(server.app()) as url:
            stage = model_stage(url, api_key_env="LICTOR_GUARD_KEY")
            await asked(stage, "x", environment={"LICTOR_GUARD_KEY": "s3cret"})
            with pytest.raises(GuardFailed, match="LICTOR_GUARD_KEY"):
                await asked(stage, "x", environment={})

        assert server.keys == ["Bearer s3cret"]

    @pytest.mark.parametrize(("side", "roles"), [("input", "user"), ("output", "assistant")])
    async def test_rails_are_asked_for_one_side_alone(self, side: str, roles: str) -> None:
        server = GuardServer()
        async with served(server.app()) as url:
            stage = {"kind": "nemo", "url": url, "config_id": "good"}
            assert await asked(stage, "fine", side) is None
            found = await asked(stage, "forbidden", side)

        assert found.name == "self check"
        assert server.asked[0]["guardrails"] == {"config_id": "good", "rail_types": [side]}
        assert server.asked[0]["messages"][-1] == {"role": roles, "content": "fine"}

    @pytest.mark.parametrize(("raw", "passes"), [("modified", False), ("skipped", None)])
    async def test_what_rails_would_reword_is_withheld_and_the_unknown_fails(
        self, raw: str, passes: bool | None
    ) -> None:
        async with served(GuardServer(raw=raw).app()) as url:
            stage = {"kind": "nemo", "url": url, "config_id": "good"}
            if passes is None:
                with pytest.raises(GuardFailed):
                    await asked(stage, "x")
            else:
                assert await asked(stage, "x") is not None

    async def test_the_first_stage_that_refuses_decides(self) -> None:
        guard = read_guard(guard_of(given=[rules("first"), rules("second")]))
        async with httpx.AsyncClient() as client:
            runner = GuardRunner(guard, client)
            found = await runner.check("input", "second, then first")
            assert found is not None
            assert (found.stage, await runner.check("output", "first")) == (0, None)
