"""YAML from strangers is read within bounds, however its aliases multiply."""

from typing import Any

import pytest

from compliance.rules.faults import InputFaults
from compliance.rules.safe_yaml import MAX_ALIASES, MAX_DEPTH, MAX_EXPANDED, read_yaml


def read(text: str) -> Any:
    return read_yaml(text.encode(), source="x", code="bad")


def refusal(text: str) -> str:
    with pytest.raises(InputFaults) as caught:
        read(text)
    return str(caught.value.faults[0])


def test_plain_aliases_are_read() -> None:
    found = read("a: &a [1, 2]\nb: *a\nc: {d: *a}\n")

    assert found == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: [{c: *a}]}", "- &a\n  - x\n  - *a\n"])
def test_a_value_that_holds_itself_is_refused(text: str) -> None:
    assert "'*a' stands inside itself" in refusal(text)


def test_aliases_that_double_at_each_level_are_refused() -> None:
    levels = MAX_ALIASES // 2
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]

    assert f"more than {MAX_EXPANDED} characters" in refusal("\n".join(lines))


def test_a_long_text_that_is_repeated_is_refused() -> None:
    half = "x" * (MAX_EXPANDED // 8)

    said = refusal(f"a: &a {half}\nb: [{', '.join(['*a'] * 9)}]")

    assert "with its aliases written out" in said


def test_levels_that_aliases_add_count() -> None:
    deep = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)

    assert read(f"a: &a {deep}\nb: *a\n")["a"] is not None
    assert "nested deeper" in refusal(f"a: &a {deep}\nb: [[*a]]\n")


def test_too_many_aliases_and_too_deep_a_nest_are_refused() -> None:
    assert "more than 64 aliases" in refusal("a: &a 1\nb: [" + "*a, " * 65 + "]")
    assert "nested deeper" in refusal("[" * 41 + "]" * 41)
