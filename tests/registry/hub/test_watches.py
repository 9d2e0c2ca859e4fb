"""A watched repository is read again by itself; changed terms bring a review, failures wait."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compliance.models import Review
from compliance.services.reviews import open_review, withdraw
from compliance.tasks import assess_default
from registry import services_watches, watch_tasks
from registry.hub.intake import Hub
from registry.models import HubImport, HubWatch, LedgerEntry, Membership
from tests.compliance.building import USE, Cast, make_cast, make_person
from tests.registry.hub.fake_hub import FakeHub, Fault
from tests.registry.hub.shapes import card, small

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast(keys: Path, blobs: Path) -> Cast:
    return make_cast()


@pytest.fixture
def watched(cast: Cast, hub: FakeHub) -> HubWatch:
    hub.add("org/model", small())
    row, _ = services_watches.watch(cast.organisation, actor=cast.submitter, repo="org/model")
    return row


def read(row: HubWatch, hub: FakeHub) -> HubWatch:
    row.refresh_from_db()
    services_watches.read_watch(row, Hub(endpoint=hub.url, sleep=None), now=timezone.now())
    row.refresh_from_db()
    return row


def newest() -> HubImport:
    row = HubImport.objects.order_by("-created_at").first()
    assert row is not None
    return row


def relicense(hub: FakeHub) -> None:
    changed = {"README.md": card({"license": "cc-by-nc-4.0"})}
    hub.add("org/model", small(LICENSE=b"Other\n") | changed)


def test_a_reading_registers_the_commit_and_sets_the_next(watched: HubWatch, hub: FakeHub) -> None:
    row = read(watched, hub)

    assert row.commit == newest().commit
    assert (row.failures, row.last_error) == (0, "")
    assert row.not_before > timezone.now() + timedelta(minutes=50)


def test_a_failure_waits_longer_each_time_and_is_told_once(watched: HubWatch, hub: FakeHub) -> None:
    waits = []
    hub.repos.clear()
    for _ in range(3):
        before = timezone.now()
        waits.append(read(watched, hub).not_before - before)

    assert waits[0] < waits[1] < waits[2]
    assert watched.last_error
    assert LedgerEntry.objects.filter(action="hub.watch_failed").count() == 1
    assert not HubImport.objects.exists()


def test_an_owner_who_may_register_no_more_reads_nothing(
    cast: Cast, watched: HubWatch, hub: FakeHub
) -> None:
    Membership.objects.filter(user=cast.submitter).update(roles=["viewer"])

    row = read(watched, hub)

    assert "may not register" in row.last_error
    assert not HubImport.objects.exists()


def test_of_two_workers_one_reads(watched: HubWatch) -> None:
    now = timezone.now()

    assert services_watches.claim(watched, now)
    assert not services_watches.claim(watched, now)


def test_without_a_hub_set_for_the_server_nothing_is_read(
    watched: HubWatch, hub: FakeHub, settings: Any
) -> None:
    settings.LICTOR_HUB_ENDPOINT = ""

    assert watch_tasks.sweep_watches() == 0
    watch_tasks.read_watch(str(watched.pk))

    assert not HubImport.objects.exists()


def test_changed_terms_open_a_review_for_every_use_that_was_reviewed(
    cast: Cast, watched: HubWatch, hub: FakeHub
) -> None:
    read(watched, hub)
    first = newest().checkpoint
    reviewed = open_review(first, USE, actor=cast.submitter)
    relicense(hub)

    read(watched, hub)
    second = newest().checkpoint
    for _ in range(2):
        assess_default(str(second.pk))

    assert second != first
    review = Review.objects.get(checkpoint=second)
    assert (review.state, review.use_digest) == ("open", reviewed.use_digest)
    assert review.opened_by == cast.submitter


def test_a_review_that_was_closed_is_not_opened_again(
    cast: Cast, watched: HubWatch, hub: FakeHub
) -> None:
    read(watched, hub)
    relicense(hub)
    read(watched, hub)
    checkpoint = newest().checkpoint
    assess_default(str(checkpoint.pk))
    withdraw(Review.objects.get(checkpoint=checkpoint), actor=cast.legal)

    assess_default(str(checkpoint.pk))

    assert Review.objects.filter(checkpoint=checkpoint).count() == 1


def test_another_member_asks_when_the_importer_may_no_more(
    cast: Cast, watched: HubWatch, hub: FakeHub
) -> None:
    read(watched, hub)
    relicense(hub)
    read(watched, hub)
    Membership.objects.exclude(user=cast.legal).update(roles=["viewer"])
    other = make_person(cast.organisation, "acme-otto", "submitter")

    assess_default(str(newest().checkpoint_id))

    assert Review.objects.get().opened_by == other


def test_a_commit_that_changes_no_terms_opens_nothing(watched: HubWatch, hub: FakeHub) -> None:
    read(watched, hub)
    hub.add("org/model", small(**{"config.json": b"{}"}))
    read(watched, hub)

    assess_default(str(newest().checkpoint_id))

    assert HubImport.objects.count() == 2
    assert not Review.objects.exists()


def test_a_busy_hub_sets_the_wait(watched: HubWatch, hub: FakeHub) -> None:
    hub.faults["/api/models"] = Fault(times=9, status=429, headers={"Retry-After": "7200"})

    row = read(watched, hub)

    assert row.not_before > timezone.now() + timedelta(minutes=110)
