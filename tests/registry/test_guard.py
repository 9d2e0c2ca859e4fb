from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.artifact.guard import compile_pattern, guard_digest, read_guard
from registry.errors import BadInput

RULES = {"kind": "rules", "patterns": [{"name": "weapons", "pattern": r"\bbomb\b"}]}
MODEL = {
    "kind": "openai",
    "url": "http://guard:8000/v1",
    "model": "watcher",
    "prompt": "Judge: {text}",
    "safe": "^safe",
    "unsafe": "^unsafe",
}
RAILS = {"kind": "nemo", "url": "https://rails:8000", "config_id": "good"}
DOCUMENT: dict[str, Any] = {
    "format": "lictor.guard/1",
    "name": "demo-rules",
    "input": [RULES, MODEL],
    "output": [RAILS],
    "refusal": "I can't help with that.",
}


def places(document: Any) -> set[str]:
    with pytest.raises(BadInput) as refusal:
        read_guard(document)
    assert refusal.value.code == "guard_invalid"
    return {fault.place for fault in refusal.value.faults}


def changed(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENT, **changes}


def test_a_guard_is_read_with_its_defaults() -> None:
    guard = read_guard(DOCUMENT)

    assert [stage.kind for stage in (*guard.input, *guard.output)] == ["rules", "openai", "nemo"]
    assert (guard.window_characters, guard.timeout_seconds) == (200, 10)
    assert guard.digest == guard_digest(DOCUMENT)


def test_the_digest_is_of_the_content_and_not_of_its_order() -> None:
    turned = dict(reversed(DOCUMENT.items()))

    assert guard_digest(turned) == guard_digest(DOCUMENT)
    assert guard_digest(changed(refusal="No.")) != guard_digest(DOCUMENT)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (changed(format="lictor.guard/2"), "format"),
        (changed(name="Demo Rules"), "name"),
        (changed(refusal=" "), "refusal"),
        (changed(window_characters=5), "window_characters"),
        (changed(timeout_seconds=True), "timeout_seconds"),
        (changed(bypass=True), "bypass"),
        (changed(input=[], output=[]), "input"),
        (changed(input=[RULES] * 9), "input"),
        (changed(input=[{"kind": "magic"}]), "input[0].kind"),
        (changed(input=[{**RULES, "patterns": []}]), "input[0].patterns"),
        (changed(output=[{**RAILS, "config_id": ""}]), "output[0].config_id"),
        (changed(output=[{**RAILS, "url": "file:///etc/passwd"}]), "output[0].url"),
        (changed(output=[{**RAILS, "url": "http://u:p@rails/"}]), "output[0].url"),
        (changed(input=[{**MODEL, "prompt": "no place"}]), "input[0].prompt"),
        (changed(input=[{**MODEL, "safe": "("}]), "input[0].safe"),
        (changed(input=[{k: v for k, v in MODEL.items() if k != "safe"}]), "input[0].safe"),
        (changed(input=[{**MODEL, "api_key_env": "PATH"}]), "input[0].api_key_env"),
        (changed(input=[{**MODEL, "skip": 1}]), "input[0].skip"),
    ],
)
def test_a_fault_is_named_by_its_place(document: dict[str, Any], place: str) -> None:
    assert places(document) == {place}


def test_every_fault_is_named_at_once() -> None:
    assert places(changed(name="", refusal=7, surplus=1)) == {"name", "refusal", "surplus"}


@pytest.mark.parametrize("pattern", ["(", "a{1001}", r"(?<=a)b", "x" * 2_001, "", None])
def test_a_pattern_that_re2_does_not_take_is_refused(pattern: Any) -> None:
    rules = {"kind": "rules", "patterns": [{"name": "p", "pattern": pattern}]}

    assert places(changed(input=[rules])) == {"input[0].patterns[0].pattern"}


def test_patterns_are_found_without_regard_to_case() -> None:
    assert compile_pattern(r"\bbomb\b").search("The BOMB.") is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
)


@given(st.sampled_from([*DOCUMENT, "window_characters", "timeout_seconds"]), JSON)
def test_any_json_is_either_read_or_refused_with_its_faults(field: str, value: Any) -> None:
    document = changed(**{field: value})
    try:
        digest = read_guard(document).digest
    except BadInput:
        assert places(document)
    else:
        assert digest == guard_digest(document)
