"""Check that a what-if writes nothing, and that filing ends exactly what it said."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from compliance import dependants, selectors
from compliance.models import Matter, Standing
from compliance.services import matters, pins, reviews, standing
from compliance.services.assess import assess
from compliance.tasks import sweep_standing
from registry.errors import BadInput, Duplicate, RoleMissing, StaleState
from registry.keys import make_key
from registry.models import Checkpoint, LedgerEntry, OutboxEvent
from tests.compliance.building import NVIDIA, USE, Cast, make_cast, make_checkpoint

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Any) -> None:
    settings.LICTOR_KEYS = tmp_path
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def family(cast: Cast) -> dict[str, Checkpoint]:
    """base <- child <- grandchild under the NVIDIA text, and an unrelated model."""
    base = make_checkpoint(cast, "lictor/base", license="other")
    pins.pin_licence(base, licence_key=NVIDIA, reason="Read at intake.", actor=cast.legal)
    child = make_checkpoint(cast, "acme/child", parent=base)
    grandchild = make_checkpoint(cast, "acme/grandchild", parent=child)
    aside = make_checkpoint(cast, "acme/aside")
    return {"base": base, "child": child, "grandchild": grandchild, "aside": aside}


def _fields(**changes: Any) -> dict[str, Any]:
    return {
        "reference": "ACME-1",
        "title": "Acme against the makers of base",
        "kind": "patent",
        "status": "filed",
        "filed_on": "2026-03-01",
        "alleges_model_infringes": ["lictor/base"],
        "in_response": False,
    } | changes


def _counts() -> tuple[int, ...]:
    tables = (Matter, Standing, LedgerEntry, OutboxEvent, Checkpoint)
    return tuple(table.objects.count() for table in tables)


def test_a_what_if_names_the_whole_lineage_and_the_clause_and_writes_nothing(
    cast: Cast, family: dict[str, Checkpoint]
) -> None:
    before = _counts()

    found = matters.what_if(cast.organisation, _fields(status="draft", filed_on=None))

    names = {row["name"] for row in found.checkpoints}
    assert names == {"lictor/base", "acme/child", "acme/grandchild"}
    assert [(row["licence"], row["model"]) for row in found.clauses] == [(NVIDIA, "lictor/base")]
    assert found.clauses[0]["quote"]
    assert _counts() == before


def test_a_what_if_lists_what_a_room_above_registered(
    cast: Cast, family: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependants, "_listers", {})
    child = family["child"].pk
    dependants.register(
        "endpoints", lambda _, ids: [{"name": "chat", "checkpoint": str(child)}] * (child in ids)
    )

    found = matters.what_if(cast.organisation, _fields())

    assert [row["name"] for row in found.endpoints] == ["chat"]


def test_filing_ends_exactly_what_the_what_if_said(
    cast: Cast, family: dict[str, Checkpoint]
) -> None:
    said = {row["id"] for row in matters.what_if(cast.organisation, _fields()).checkpoints}

    matter = matters.declare(cast.organisation, _fields(), actor=cast.legal)

    ended = {str(row.checkpoint_id) for row in Standing.objects.all()}
    assert ended == said
    assert selectors.standing_of(family["aside"]) is None
    cause = selectors.standing_of(family["grandchild"]).cause
    assert cause["status"] == 451
    assert cause["code"] == "licence_ended"
    assert (cause["licence"], cause["model"]) == (NVIDIA, "lictor/base")
    assert (cause["matter"], cause["effective"]) == (str(matter.pk), "2026-03-01")
    assert cause["section"]
    assert cause["quote"]


def test_filing_writes_the_ledger_and_announces_every_checkpoint(
    cast: Cast, family: dict[str, Checkpoint]
) -> None:
    matters.declare(cast.organisation, _fields(), actor=cast.legal)

    actions = list(LedgerEntry.objects.order_by("seq").values_list("action", flat=True))
    assert actions[-5:] == ["matter.declared", "matter.filed", *["standing.ended"] * 3]
    keys = set(OutboxEvent.objects.filter(topic="standing_changed").values_list("key", flat=True))
    assert keys == {str(family[name].pk) for name in ("base", "child", "grandchild")}


def test_an_ended_licence_outranks_an_approval(cast: Cast, family: dict[str, Checkpoint]) -> None:
    base = family["base"]
    review = reviews.open_review(base, USE, actor=cast.asker)
    for stage, person in (("legal", cast.legal), ("security", cast.security)):
        review = reviews.decide(
            review, stage=stage, verdict="approve", seen_digest=review.seen_digest, actor=person
        )
    assert isinstance(selectors.entitlement(review, base, timezone.now()), selectors.Entitled)

    matters.declare(cast.organisation, _fields(), actor=cast.legal)

    assert isinstance(selectors.entitlement(review, base, timezone.now()), selectors.Ended)
    review.refresh_from_db()
    assert review.state == "stale"


def test_a_draft_stops_nothing(cast: Cast, family: dict[str, Checkpoint]) -> None:
    before = assess(family["base"], USE, actor="test").seen_digest

    matters.declare(cast.organisation, _fields(status="draft"), actor=cast.legal)

    assert not Standing.objects.exists()
    assert assess(family["base"], USE, actor="test").seen_digest == before


def test_a_draft_is_filed_once(cast: Cast, family: dict[str, Checkpoint]) -> None:
    draft = matters.declare(
        cast.organisation, _fields(status="draft", filed_on=None), actor=cast.legal
    )

    filed = matters.file(draft, actor=cast.legal, filed_on=date(2026, 3, 2))

    assert (filed.status, filed.version) == ("filed", 2)
    assert Standing.objects.count() == 3
    with pytest.raises(StaleState):
        matters.file(draft, actor=cast.legal)


def test_withdrawing_gives_nothing_back(cast: Cast, family: dict[str, Checkpoint]) -> None:
    matter = matters.declare(cast.organisation, _fields(), actor=cast.legal)

    withdrawn = matters.withdraw(matter, actor=cast.legal)

    assert withdrawn.status == "withdrawn"
    assert isinstance(selectors.standing_of(family["child"]), selectors.Ended)
    with pytest.raises(StaleState):
        matters.withdraw(matter, actor=cast.legal)


def test_a_dropped_draft_leaves_no_trace_in_judgements(
    cast: Cast, family: dict[str, Checkpoint]
) -> None:
    before = assess(family["base"], USE, actor="test")
    draft = matters.declare(
        cast.organisation, _fields(status="draft", filed_on=None), actor=cast.legal
    )

    matters.withdraw(draft, actor=cast.legal)

    assert assess(family["base"], USE, actor="test").pk == before.pk


def test_what_is_registered_after_the_filing_is_ended_by_its_judgement(
    cast: Cast, family: dict[str, Checkpoint]
) -> None:
    matters.declare(cast.organisation, _fields(), actor=cast.legal)
    late = make_checkpoint(cast, "acme/late", parent=family["base"])

    assess(late, USE, actor="test")

    assert isinstance(selectors.standing_of(late), selectors.Ended)


def test_the_sweep_ends_what_was_missed_and_running_it_twice_changes_nothing(
    cast: Cast, family: dict[str, Checkpoint]
) -> None:
    matters.declare(cast.organisation, _fields(), actor=cast.legal)
    late = make_checkpoint(cast, "acme/late", parent=family["base"])

    assert sweep_standing() == 1
    assert sweep_standing() == 0

    assert isinstance(selectors.standing_of(late), selectors.Ended)


def test_a_failure_on_the_way_rolls_everything_back(
    cast: Cast, family: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _counts()

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the outbox is gone")

    monkeypatch.setattr(standing, "publish", broken)
    with pytest.raises(OSError, match="outbox"):
        matters.declare(cast.organisation, _fields(), actor=cast.legal)

    assert _counts() == before


@pytest.mark.parametrize("who", ["submitter", "security", "operator"])
def test_only_a_legal_reviewer_declares_litigation(cast: Cast, who: str) -> None:
    with pytest.raises(RoleMissing):
        matters.declare(cast.organisation, _fields(), actor=getattr(cast, who))

    assert not Matter.objects.exists()


def test_every_fault_of_a_matter_is_listed(cast: Cast) -> None:
    tomorrow = (timezone.now().date() + timedelta(days=1)).isoformat()
    fields = {"kind": "war", "status": "won", "filed_on": tomorrow, "colour": "red"}

    with pytest.raises(BadInput) as caught:
        matters.what_if(cast.organisation, fields)

    assert {fault.place for fault in caught.value.faults} == {
        "reference",
        "title",
        "kind",
        "status",
        "filed_on",
        "colour",
        "alleges_model_infringes",
    }


def test_a_reference_is_used_once(cast: Cast, family: dict[str, Checkpoint]) -> None:
    matters.declare(cast.organisation, _fields(status="draft"), actor=cast.legal)

    with pytest.raises(Duplicate):
        matters.declare(cast.organisation, _fields(status="draft"), actor=cast.legal)


def test_a_model_with_two_checkpoints_loses_both(cast: Cast) -> None:
    rows = [make_checkpoint(cast, "lictor/base", license="other", salt=salt) for salt in ("a", "b")]
    for row in rows:
        pins.pin_licence(row, licence_key=NVIDIA, reason="Read.", actor=cast.legal)

    matters.declare(cast.organisation, _fields(), actor=cast.legal)

    assert {row.checkpoint_id for row in Standing.objects.all()} == {row.pk for row in rows}


def test_another_organisations_lawsuit_ends_nothing_here(
    cast: Cast, family: dict[str, Checkpoint]
) -> None:
    other = make_cast("other")

    matters.declare(other.organisation, _fields(), actor=other.legal)

    assert not Standing.objects.exists()
