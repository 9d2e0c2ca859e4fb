import re

import pytest

from registry import errors
from registry.errors import BadInput, Fault, LictorError, StandingEnded

CLASSES = sorted(
    (
        item
        for item in vars(errors).values()
        if isinstance(item, type) and issubclass(item, LictorError)
    ),
    key=lambda item: item.__name__,
)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = re.findall(r"(\w+) +(\d{3})  (\w+)", errors.__doc__ or "")

    assert sorted(drawn) == [(c.__name__, str(c.status), c.code) for c in CLASSES]


def test_codes_are_unique() -> None:
    assert len({item.code for item in CLASSES}) == len(CLASSES)


def test_an_error_carries_what_a_problem_body_needs() -> None:
    error = StandingEnded("It ended.", extra={"section": "3", "matter": None})

    assert (error.status, error.code) == (451, "licence_ended")
    assert error.title == "Unavailable for legal reasons"
    assert error.extra == {"section": "3", "matter": None}
    assert str(error) == "It ended."


def test_a_code_given_to_one_error_leaves_its_class_alone() -> None:
    assert BadInput("x", code="special").code == "special"
    assert BadInput("x").code == "bad_input"


def test_one_fault_becomes_the_listed_fault() -> None:
    error = BadInput("is bad.", code="c", place="here", remedy="Mend it.")

    assert error.faults == (Fault("here", "c", "is bad.", "Mend it."),)
    assert error.extra["faults"] == [
        {"place": "here", "code": "c", "message": "is bad.", "remedy": "Mend it."}
    ]


def test_many_faults_are_sorted_and_said_once() -> None:
    first, second = Fault("a", "x", "one."), Fault("b", "y", "two.")

    error = BadInput.listing([second, first, second])

    assert error.faults == (first, second)
    assert error.detail == "a: one. b: two."
    assert error.code == "bad_input"


def test_a_shared_code_is_the_code_of_the_whole() -> None:
    assert BadInput.listing([Fault("a", "x", "1"), Fault("b", "x", "2")]).code == "x"


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_caught_as_one_family(error: type[LictorError]) -> None:
    with pytest.raises(LictorError):
        raise error("no")
