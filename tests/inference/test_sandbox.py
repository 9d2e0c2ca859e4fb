import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inference.chat import renderer
from inference.chat.sandbox import BoundedTemplate
from inference.chat.worker import to_json
from inference.contract import RenderingFailed, RequestRefused
from tests.inference import tiny

LONG = "takes too long"
# Which limit comes first depends on how fast the machine hands out memory; both end it.
LARGE = "too much memory|takes too long"
HOSTILE = {
    "nested loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        LONG,
    ),
    "a huge range in a loop": ("{% for a in range(10**9) %}{% endfor %}", "not allowed"),
    "a huge range": ("{% for a in range(1000000000) %}{% endfor %}", "failed"),
    "a range made a list": ("{{ range(99999)|list|length }}" * 2000, LONG),
    "doubling by ~": (
        "{% set ns = namespace(s='xxxxxxxx') %}"
        "{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        LARGE,
    ),
    "doubling by +": (
        "{% set ns = namespace(s='xxxxxxxx') %}"
        "{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        LARGE,
    ),
    "growth by join": (
        "{% set ns = namespace(s='xxxxxxxx') %}"
        "{% for a in range(99) %}{% set ns.s = [ns.s, ns.s, ns.s]|join(ns.s) %}{% endfor %}",
        LARGE,
    ),
    "growth by replace": (
        "{% set ns = namespace(s='xxxxxxxx') %}"
        "{% for a in range(99) %}{% set ns.s = ns.s.replace('x', ns.s) %}{% endfor %}",
        LARGE,
    ),
    "a wide format": ("{{ '%999999999s'|format('x')|length }}", LARGE),
    "a wide str.format": ("{{ '{:>999999999}'.format('x')|length }}", LARGE),
    "a wide center": ("{{ 'x'|center(999999999)|length }}", LARGE),
    "a wide str.center": ("{{ 'x'.center(999999999)|length }}", LARGE),
    "a wide ljust": ("{{ 'x'.ljust(999999999)|length }}", LARGE),
    "a wide indent": ("{{ 'x\ny'|indent(999999999)|length }}", "not allowed|failed|" + LARGE),
    "a wide tojson": ("{{ [[[[1]]]]|tojson(indent=999999999)|length }}", "failed|" + LARGE),
    "a nested tojson": (
        "{% set ns = namespace(s='\"') %}"
        "{% for a in range(99) %}{% set ns.s = [ns.s, ns.s]|tojson %}{% endfor %}",
        f"{LONG}|{LARGE}",
    ),
    "a nested list in tojson": (
        "{% set ns = namespace(s=[1]) %}"
        "{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|tojson|length }}",
        f"{LONG}|{LARGE}",
    ),
    "a deep list in tojson": (
        "{% set ns = namespace(s=[1]) %}"
        "{% for a in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s|tojson|length }}",
        "recursion|takes too long",
    ),
    "a macro that calls itself": (
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "recursion|takes too long",
    ),
    "a macro that calls itself twice": (
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
        "{{ m(99) }}",
        LONG,
    ),
    "a block that shows itself": (
        "{% block a %}{{ self.a() }}{% endblock %}",
        "recursion|takes too long",
    ),
    "a recursive loop": (
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "recursion|failed",
    ),
    "sorting and grouping": (
        "{% for a in range(9999) %}{{ range(99999)|list|sort|unique|list|length }}{% endfor %}",
        LONG,
    ),
    "a large power": ("{{ 9 ** 9 ** 9 }}", "not allowed"),
    "large numbers by shifting digits": (
        "{% set ns = namespace(n=9) %}"
        "{% for a in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
        LONG,
    ),
    "a product of a list": ("{{ ([0] * 999999999)|length }}", "not allowed"),
    "an include": ("{% include 'passwd' %}", "failed"),
    "an import": ("{% import 'os' as os %}", "failed"),
    "an extends": ("{% extends messages %}", "failed"),
    "a class walk": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "failed"),
    "a class walk by filter": ("{{ (''|attr('__class__')).__mro__ }}", "failed|undefined"),
    "a format walk": ("{{ '{0.__class__.__mro__}'.format('') }}", "failed"),
    "a format_map walk": ("{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}", "failed"),
    "a map walk": ("{{ ['']|map(attribute='__class__')|list }}{{ x.y }}", "failed|undefined"),
    "globals of a macro": ("{% macro m() %}{% endmacro %}{{ m.__globals__ }}{{ x.y }}", "failed"),
    "globals of a namespace": ("{{ namespace.__init__.__globals__ }}", "failed"),
    "a change of the messages": ("{{ messages.append(1) }}", "failed"),
    "deep parentheses": ("{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}", "compile|memory|long"),
    "deep blocks": ("{% if 1 %}" * 3000 + "{% endif %}" * 3000, "compile|memory|long"),
    "deep lists": ("{{ " + "[" * 9000 + "]" * 9000 + " }}", "compile|memory|long"),
    "a long sum": ("{{ 1" + "+1" * 30_000 + " }}", "compile|memory|long|failed"),
}


@pytest.mark.parametrize(("source", "why"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_template_is_ended_soon_and_the_next_one_renders(source: str, why: str) -> None:
    started = time.monotonic()
    with pytest.raises(RenderingFailed, match=why):
        BoundedTemplate(source).render(messages=["m"])

    assert BoundedTemplate("{{ 1 + 1 }}").render() == "2"
    assert time.monotonic() - started < 2 * renderer.MAX_WALL_SECONDS


def test_a_template_that_turns_hostile_later_harms_only_its_own_request() -> None:
    source = "{% if bad %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
    template = BoundedTemplate(source + "{% endfor %}{% endif %}fine")

    started = time.monotonic()
    with pytest.raises(RenderingFailed, match=LONG):
        template.render(bad=True)

    assert template.render(bad=False) == "fine"
    assert time.monotonic() - started < renderer.MAX_WALL_SECONDS


def test_a_killed_process_is_replaced_without_the_caller_noticing() -> None:
    template = BoundedTemplate("{{ a }}")
    process = renderer.SHARED._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    assert template.render(a="b") == "b"


def test_the_process_can_open_no_file_and_start_no_other() -> None:
    BoundedTemplate("x")
    process = renderer.SHARED._process
    assert process is not None
    with open(f"/proc/{process.pid}/limits") as file:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in file}

    assert limits["Max open files"] == ["3", "3"]
    assert limits["Max processes"] == ["0", "0"]
    assert limits["Max file size"] == ["0", "0"]
    assert int(limits["Max address space"][0]) == 512 * 1024 * 1024


def test_the_process_inherits_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_REPLICA", "secret")
    fresh = renderer.Renderer()
    try:
        fresh.ask({"key": "a", "source": "a"})
        assert fresh._process is not None
        with open(f"/proc/{fresh._process.pid}/environ", "rb") as file:
            assert b"TOKEN_OF_THE_REPLICA" not in file.read()
    finally:
        fresh.close()


def test_many_threads_each_get_their_own_answer() -> None:
    templates = [BoundedTemplate(f"{n}:{{{{ a }}}}") for n in range(50)]

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda pair: pair[1].render(a=pair[0]), enumerate(templates)))

    assert got == [f"{n}:{n}" for n in range(50)]


def test_an_ordinary_rendering_takes_less_than_a_millisecond() -> None:
    template = BoundedTemplate(tiny.NEMOTRON)
    messages: list[Any] = [{"role": "user", "content": "hi"}] * 5
    template.render(messages=messages, add_generation_prompt=True)
    best = min(_seconds(template, messages) for _ in range(20))

    assert best / 10 < 0.001


def _seconds(template: BoundedTemplate, messages: list[Any]) -> float:
    started = time.perf_counter()
    for _ in range(10):
        template.render(messages=messages, add_generation_prompt=True)
    return time.perf_counter() - started


def test_what_a_template_refuses_is_the_callers_fault() -> None:
    with pytest.raises(RequestRefused, match="roles must alternate"):
        BoundedTemplate("{{ raise_exception('roles must alternate') }}").render()


def test_json_is_written_plainly_and_notes_that_a_mark_stands_in_a_string() -> None:
    mark = "x" + "0a" * 12 + "n3e0x"

    assert (
        to_json({"b": "<é>", "a": mark}) == '{"b": "<é>", "a": "' + mark.replace("e0", "e1") + '"}'
    )
    assert to_json(to_json(mark)).count("e2x") == 1
