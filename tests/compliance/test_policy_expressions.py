"""Check that a policy's expressions are bounded, typed and never guess."""

import time

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.policy.expression import (
    MAX_STEPS,
    compile_expression,
    longest_list,
    variables_of,
)
from compliance.policy.shape import SHAPE, empty, sample
from compliance.policy.tokens import ExpressionError, split

REFUSED = {
    "": "empty",
    "1 +": "Syntax error",
    "foo": "column 1: unknown variable 'foo'; known: decision, evidence",
    "use.comercial == true": "column 5: unknown field 'comercial'; use has annual_revenue_usd",
    "use.commercial == 'yes'": "does not fit the types",
    "use.commercial": None,
    "size(use.purposes)": "gives int, not true or false",
    "use.commercial && use.licensee_home": "does not fit the types",
    "false && use.monthly_active_users > 'x'": "does not fit the types",
    "true || use.monthly_active_users > 'x'": "does not fit the types",
    "use['commercial']": "column 5: write .commercial",
    "licences.map(l, l.key) == licences": "unknown function 'map'",
    "subject.id.matches('(a*)*b')": "unknown function 'matches'",
    "licences.exists(use, true)": "'use' is taken",
    "licences.exists()": "needs a name",
    "licences.exists(l, l.depth > 1)": "'depth' is not known here",
    "(true": "column 1: '(' is never closed",
    "true)": "column 5: ')' closes nothing",
    "(true]": "closes nothing",
    "b'x' == b'x'": "cannot be read here",
    "{'a': 1}.a == 1": "cannot be read here",
    "null == null": "unknown variable 'null'",
    ".use.commercial": "a dot needs a value",
    "1 == 1 // why": "'// why' cannot be read here",
    "use.?commercial": "column 6",
    "decision.rule == 'x'": "decision has no fields",
    "(" * 20 + "true" + ")" * 20: "nested deeper than 12",
    "true" + " || true" * 200: "characters; at most 1000",
    "licences.all(a, findings.all(b, evidence.all(c, a.key == b.rule)))": "costs up to",
    "licences.all(a, size(findings.filter(f, f.model == a.model)) > 0)": "costs up to",
    "'''a' == '''b'''": "two texts stand side by side",
    "1 / 0 == 1": "division by zero",
    "9223372036854775807 + 1 > 0": "overflow",
}


@pytest.mark.parametrize("source", [one for one, said in REFUSED.items() if said])
def test_what_cannot_be_decided_is_refused_when_it_is_saved(source: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_expression(source)

    assert str(REFUSED[source]) in str(refused.value)


@pytest.mark.parametrize(
    "source",
    [
        "use.commercial",
        "has(use.domains) && 'health' in use.domains",
        "size(licences) > 3 ? use.commercial && true : 1 > 2",
        "!licences.exists(l, l.key.contains('x') && (has(l.spdx) && l.spdx == 'MIT' || false))",
        "licences.all(l, findings.exists(f, f.model == l.model))",
        "use.annual_revenue_usd > 10.5",
        "size(findings.filter(f, f.status == 'unmet')) > 2",
        "evidence.exists_one(e, e.method == 'measured')",
        "'a\\'b' == \"a'b\"",
        "'exists(' == '('",
    ],
)
def test_the_documented_language_is_accepted(source: str) -> None:
    assert compile_expression(source).holds(variables_of(sample())) in (True, False)


@pytest.mark.parametrize(
    "source",
    [
        "use.commercial == true",
        "use.commercial != true",
        "!(use.commercial == true)",
        "'DE' in use.jurisdictions",
        "use.monthly_active_users > 5 || false",
    ],
)
def test_a_fact_nobody_stated_is_an_error_and_never_no(source: str) -> None:
    with pytest.raises(ExpressionError, match=r"is not known here; ask has\(\.\.\.\) first"):
        compile_expression(source).holds(variables_of(empty()))


def test_an_unknown_side_does_not_matter_where_the_other_decides() -> None:
    assert (
        compile_expression("use.commercial && decision == 'deny'").holds(variables_of(empty()))
        is False
    )
    assert (
        compile_expression("use.commercial || decision == 'allow'").holds(variables_of(empty()))
        is True
    )
    assert compile_expression("has(use.commercial)").holds(variables_of(empty())) is False


def test_lists_longer_than_the_budget_are_refused_before_they_are_walked() -> None:
    rule = compile_expression("licences.all(l, findings.exists(f, f.model == l.model))")
    items = [{"model": "x", "rule": "y"}] * 5_000
    started = time.perf_counter()

    with pytest.raises(ExpressionError, match="costs up to"):
        rule.holds(variables_of({**empty(), "licences": items, "findings": items}))

    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    "source",
    [
        "licences.all(l, findings.all(f, f.model == l.model))",
        "licences.all(l, findings.all(f, size(f.rule + f.rule + l.model) > 2))",
        "size(findings.filter(f, f.model != '')) >= 0",
        "licences.all(l, findings.exists_one(f, f.rule == l.model) || true)",
    ],
)
def test_the_dearest_run_that_is_let_through_ends_soon(source: str) -> None:
    rule = compile_expression(source)
    length = next(n for n in range(5_000, 0, -1) if rule.steps(n) <= MAX_STEPS)
    items = [{"model": "x" * 500, "rule": "y" * 2_000}] * length
    variables = variables_of({**empty(), "licences": items, "findings": items})
    started = time.perf_counter()

    assert rule.holds(variables)
    assert time.perf_counter() - started < 3


def test_the_longest_list_is_found_however_deep() -> None:
    assert longest_list({"a": [{"b": [1, 2, 3]}], "c": "text"}) == 3
    assert longest_list({}) == 0


def test_columns_count_from_one() -> None:
    assert [token.column for token in split("a && b")] == [1, 3, 6]


_SIGNS = "( ) [ ] . , && || ! == < ? : + - in true 'a' 1 2.5 null { } \\ ` // b'a' 0x1"
_NAMES = "exists all filter has size matches map l x commercial"
_WORDS = st.sampled_from([*SHAPE, *_NAMES.split(), *_SIGNS.split()])


@settings(max_examples=300, deadline=None)
@given(st.lists(_WORDS, max_size=25).map(" ".join))
def test_any_text_is_accepted_or_refused_and_never_breaks(source: str) -> None:
    try:
        found = compile_expression(source)
    except ExpressionError:
        return

    assert isinstance(found.holds(variables_of(sample())), bool)
    assert set(cel.compile(source).variables()) <= {*SHAPE, "l", "x"} | set(source.split())
