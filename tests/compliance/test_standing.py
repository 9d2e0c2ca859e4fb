"""An approval does not outlive the licence it rests on."""

from datetime import date, timedelta
from typing import Any

import pytest

from compliance.rules.facts import Facts, Matter
from compliance.rules.library import bundled_library
from compliance.rules.standing import (
    Approval,
    Deployment,
    Standing,
    as_if_filed,
    blast_radius,
    standing,
)
from tests.compliance.build_facts import (
    BASE,
    OCTOBER,
    TODAY,
    make_base,
    make_facts,
    make_matter,
    make_tuned,
    retention,
)

LIBRARY = bundled_library()
APPROVED = Approval(decision="d1")


def stand(*matters: Matter, facts: Facts | None = None, **changes: Any) -> Standing:
    approval = Approval(**{"decision": "d1", **changes})
    chosen = facts or make_facts()
    return standing(chosen, approval, LIBRARY, matters=matters, as_of=TODAY)


def apache() -> Facts:
    return make_facts(make_tuned(pin="apache-2.0"), make_base("apache-2.0"))


def test_an_approved_use_without_matters_stands() -> None:
    assert (stand().state, stand().may_serve) == ("ok", True)


def test_a_filed_suit_ends_it_and_names_the_words() -> None:
    found = stand(make_matter())

    assert (found.state, found.cause, found.matter, found.model) == ("ended", "matter", "m1", BASE)
    assert (found.licence, found.version, found.section) == (OCTOBER, "October 24, 2025", "2.1")
    assert found.effective == date(2026, 3, 1)
    assert found.quote is not None
    assert "copyright or patent litigation" in found.quote


def test_a_draft_ends_nothing() -> None:
    assert stand(make_matter(status="draft")).state == "ok"


def test_a_withdrawn_suit_stays_ended() -> None:
    assert stand(make_matter(status="withdrawn")).state == "ended"


def test_no_acknowledgement_revives_an_ended_licence() -> None:
    assert stand(make_matter(), acknowledged_matters=("m1",)).state == "ended"


def test_an_apache_suit_stops_serving_until_a_reviewer_has_seen_it() -> None:
    assert stand(make_matter(), facts=apache()).state == "review_required"
    assert stand(make_matter(), facts=apache(), acknowledged_matters=("m1",)).state == "ok"


def test_a_confirmed_breach_ends_it() -> None:
    facts = make_facts(make_tuned(retention("removed")), make_base())

    found = stand(facts=facts)
    assert (found.state, found.cause, found.matter) == ("ended", "breach", None)


@pytest.mark.parametrize(
    ("last_day", "state"), [(TODAY, "ok"), (TODAY - timedelta(1), "ended"), (None, "ok")]
)
def test_an_approval_counts_through_its_last_day(last_day: date | None, state: str) -> None:
    assert stand(expires_on=last_day).state == state


def test_a_withdrawn_approval_ends_it() -> None:
    assert stand(withdrawn=True).cause == "approval_withdrawn"


def test_the_plain_form_is_plain() -> None:
    assert stand(make_matter()).to_dict()["effective"] == "2026-03-01"


def radius(matter: Matter, **changes: Any) -> Any:
    facts = {
        "c-nvidia": make_facts(),
        "c-apache": apache(),
        "c-mit": make_facts(make_base("mit", id="x/y")),
    }
    deployments = [Deployment(id=f"e-{name}", checkpoint=name, approval=APPROVED) for name in facts]
    return blast_radius(facts, matter, deployments, LIBRARY, as_of=TODAY, **changes)


def test_a_what_if_tells_what_ends_what_is_doubtful_and_what_stays() -> None:
    found = radius(make_matter(status="draft", filed_on=None))

    assert found.checkpoints_ended == ("c-nvidia",)
    assert [one.deployment for one in found.doubts] == ["e-c-apache"]
    assert found.untouched == ("e-c-mit",)
    assert found.matter.filed_on == TODAY


def test_what_is_down_already_is_not_counted_again() -> None:
    earlier = make_matter(id="m0")

    found = radius(make_matter(status="draft"), matters=(earlier,))
    assert (found.already_down, found.ends) == (("e-c-nvidia",), ())


def test_the_what_if_agrees_with_the_standing_after_filing() -> None:
    matter = make_matter(status="draft", filed_on=None)

    found = radius(matter)
    assert found.ends[0].after == stand(as_if_filed(matter, TODAY))
    assert found.ends[0].before.state == "ok"


def test_a_what_if_has_a_plain_form() -> None:
    document = radius(make_matter()).to_dict()

    assert document["checkpoints_ended"] == ["c-nvidia"]
    assert document["ends"][0]["after"]["licence"] == OCTOBER
