"""Whatever is typed as a record, checking it ends in faults or in a digest, never in a crash."""

import copy
import datetime
import random
from typing import Any

import pytest
import yaml

from compliance.services.licence_text import Checked, read
from registry.models import Organisation
from tests.compliance.test_organisation_licences import HOUSE

pytestmark = pytest.mark.django_db

VALUES: list[Any] = [
    None, 0, -1, 10**30, 1.5, float("inf"), float("nan"), True, "", "x", "\ufeff", "é", [], [1],
    [[1]], {}, {"a": 1}, {1: 2}, [{"a": [1]}], "2024-01-01", datetime.date(2024, 1, 1),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), b"bytes", "a" * 1000, {None: 1}, "\u202e",
]  # fmt: skip
SCRAPS = ["\t", "{", "}", "[", "&a ", "*a", "!!python/object:os.system ", "- ", "\0", "\x85", "'"]


def places(value: Any) -> list[tuple[Any, Any]]:
    """List every (container, key) of a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    inner = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return [(value, key) for key in keys] + [place for one in inner for place in places(one)]


def mutated(chance: random.Random) -> str:
    document = copy.deepcopy(yaml.safe_load(HOUSE))
    for _ in range(chance.choice([1, 1, 2, 4])):
        holder, key = chance.choice(places(document))
        if chance.random() < 0.8:
            holder[key] = chance.choice(VALUES)
        else:
            del holder[key]
    text: str = yaml.dump(document, allow_unicode=True, sort_keys=False)
    if chance.random() < 0.3:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(SCRAPS) + text[at + chance.randrange(3) :]
    return text


@pytest.fixture
def organisation() -> Organisation:
    return Organisation.objects.create(slug="acme", name="Acme")


@pytest.mark.parametrize("seed", range(8))
def test_a_mutated_record_gets_faults_or_a_digest(organisation: Organisation, seed: int) -> None:
    chance = random.Random(seed)

    checked: list[Checked] = [read(organisation, mutated(chance)) for _ in range(40)]

    assert all(bool(one.faults) != bool(one.digest) for one in checked)
    assert any(one.faults for one in checked)
    assert any(one.digest for one in checked)


def test_a_record_that_holds_itself_is_refused(organisation: Organisation) -> None:
    text = HOUSE.replace("license_name: [house licence]", "license_name: &a [*a]")

    [fault] = read(organisation, text).faults

    assert "stands inside itself" in fault.message
    assert fault.line == 7
