"""Check what a licence record touches when it comes into force, and what it leaves alone."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from compliance import selectors_licences as selectors
from compliance import tasks
from compliance.models import Assessment, LicenceRecord, Review
from compliance.selectors import Entitled, NotEntitled, entitlement
from compliance.services import licence_reach, licences
from compliance.services.assess import assess
from registry.errors import Conflict
from registry.keys import make_key
from registry.models import OutboxEvent, User
from registry.signals import STANDING_CHANGED
from tests.build import make_approval
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint, make_person
from tests.compliance.test_organisation_licences import (
    HOUSE,
    NO_MONEY,
    bundled,
    in_force,
    proposal,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Path) -> None:
    settings.LICTOR_KEYS = tmp_path / "keys"
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def counsel(cast: Cast) -> User:
    return make_person(cast.organisation, "acme-lou", "legal_reviewer")


def test_approving_judges_again_what_carries_the_licence_and_leaves_the_rest(
    cast: Cast, counsel: User
) -> None:
    base = make_checkpoint(cast, "acme/base", license="mit")
    touched = make_checkpoint(cast, "acme/tuned", parent=base)
    other = make_checkpoint(cast, "acme/other", license="apache-2.0")
    approvals = {row.pk: make_approval(cast, row) for row in (touched, other)}
    before = assess(other, USE, actor="x").pk

    in_force(cast, counsel, bundled("mit") + NO_MONEY)

    states = {pk: Review.objects.get(pk=row.pk).state for pk, row in approvals.items()}
    assert states == {touched.pk: "stale", other.pk: "approved"}
    now = Assessment.objects.get(checkpoint=touched, is_current=True)
    assert now.decision == "deny"
    assert now.catalogue_digest == selectors.library_for(cast.organisation).digest
    assert Assessment.objects.get(checkpoint=other, is_current=True).pk == before


def test_what_serves_under_the_licence_loses_its_right_and_the_rest_keeps_it(
    cast: Cast, counsel: User
) -> None:
    rows = [make_checkpoint(cast, f"acme/{name}", license=name) for name in ("mit", "apache-2.0")]
    approvals = [make_approval(cast, row) for row in rows]
    OutboxEvent.objects.all().delete()

    in_force(cast, counsel, bundled("mit") + NO_MONEY)

    now = timezone.now()
    ended, kept = (
        entitlement(approval, row, now) for approval, row in zip(approvals, rows, strict=True)
    )
    assert isinstance(ended, NotEntitled)
    assert ended.code == "review_stale"
    assert isinstance(kept, Entitled)
    told = OutboxEvent.objects.filter(topic=STANDING_CHANGED).values_list("key", flat=True)
    assert list(told) == [str(rows[0].pk)]


def test_the_sweep_confirms_the_rest_under_the_new_catalogue_and_then_rests(
    cast: Cast, counsel: User
) -> None:
    other = make_checkpoint(cast, "acme/other", license="apache-2.0")
    approval = make_approval(cast, other)
    stranger = make_cast("other")
    foreign = assess(make_checkpoint(stranger, "other/model"), USE, actor="x")
    in_force(cast, counsel, bundled("mit") + NO_MONEY)
    tasks.sweep_assessments()

    assert tasks.sweep_assessments() == 0

    now = Assessment.objects.get(checkpoint=other, is_current=True, use_digest=approval.use_digest)
    assert now.catalogue_digest == selectors.library_for(cast.organisation).digest
    assert Review.objects.get(pk=approval.pk).state == "approved"
    assert Assessment.objects.get(pk=foreign.pk).is_current


def test_a_new_record_reaches_a_model_whose_licence_nobody_knew(cast: Cast, counsel: User) -> None:
    model = make_checkpoint(cast, "acme/strange", license="house licence")
    assert assess(model, USE, actor="x").decision == "needs_review"
    text = HOUSE.replace("license_name: [house licence]", "license: [house licence]")

    in_force(cast, counsel, text)

    assert Assessment.objects.get(checkpoint=model, is_current=True).decision == "deny"


def test_the_approver_sees_beforehand_what_would_change(cast: Cast) -> None:
    model = make_checkpoint(cast, "acme/model", license="mit")
    make_checkpoint(cast, "acme/other", license="apache-2.0")
    was = assess(model, USE, actor="x").decision

    rows = licence_reach.impact(proposal(cast, bundled("mit") + NO_MONEY))

    assert [(row["name"], row["before"], row["after"]) for row in rows] == [
        ("acme/model", was, "deny")
    ]
    assert Assessment.objects.get(checkpoint=model, is_current=True).decision == was


def test_a_retired_record_gives_back_the_very_judgement_there_was(
    cast: Cast, counsel: User
) -> None:
    model = make_checkpoint(cast, "acme/model", license="mit")
    first = assess(model, USE, actor="x")
    in_force(cast, counsel, bundled("mit") + NO_MONEY)
    row = licences.retire(cast.organisation, key="mit", reason="Wrong.", actor=cast.legal)
    licences.approve(licences.propose(row, actor=cast.legal), actor=counsel)

    assert Assessment.objects.get(checkpoint=model, is_current=True).pk == first.pk


def test_a_record_altered_behind_the_service_judges_nothing(cast: Cast, counsel: User) -> None:
    row = in_force(cast, counsel, HOUSE)
    if connection.vendor == "postgresql":
        sql = (
            "SET CONSTRAINTS ALL IMMEDIATE; "
            "DROP TRIGGER compliance_licencerecord_fixed ON compliance_licencerecord"
        )
    else:
        sql = "DROP TRIGGER compliance_licencerecord_fixed"
    with connection.cursor() as cursor:
        cursor.execute(sql)
    LicenceRecord.objects.filter(pk=row.pk).update(document=HOUSE.replace("not", ""))
    selectors._library.cache_clear()

    with pytest.raises(Conflict, match="not those that were approved"):
        selectors.library_for(cast.organisation)
