"""Hold docs/policies.md to the code: every field, function and effect is written down."""

import re
from pathlib import Path

import pytest

from compliance.policy.document import STAGES
from compliance.policy.expression import FUNCTIONS, METHODS
from compliance.policy.shape import SHAPE

TEXT = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE))


@pytest.mark.parametrize("root", sorted(set(SHAPE) - {"decision"}))
def test_every_field_of_a_variable_is_documented_and_no_other(root: str) -> None:
    shape = SHAPE[root]
    fields = shape[0] if isinstance(shape, list) else shape

    assert set(re.findall(r"`(\w+)`", ROWS[root])) == set(fields)


def test_every_function_and_effect_is_documented() -> None:
    language = TEXT.partition("## The language")[2]

    for name in FUNCTIONS | METHODS:
        assert f"{name}()" in language
    for stage in STAGES:
        assert f"`stage:{stage}`" in TEXT
