"""Every page: a member sees it, a stranger gets 404, nobody gets in without a login."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Matter, Review
from compliance.services.reviews import open_review
from registry.models import LedgerEntry
from tests.build import make_endpoint
from tests.compliance.building import USE, make_cast, make_checkpoint

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys", "blobs")]


@pytest.fixture
def acme():
    return make_cast("acme")


@pytest.fixture
def checkpoint(acme):
    base = make_checkpoint(acme, "acme/base")
    return make_checkpoint(acme, "acme/tuned", parent=base)


def browser(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


LISTS = ["overview", "checkpoints", "reviews", "matters", "endpoints", "licences", "ledger"]


@pytest.mark.parametrize("name", LISTS)
def test_lists_open_for_a_member_and_ask_others_to_log_in(acme, checkpoint, name):
    url = reverse(f"dashboard:{name}")

    assert browser(acme.legal).get(url).status_code == 200
    assert Client().get(url).headers["Location"].startswith("/login/")


def test_a_member_of_nothing_is_told_so(django_user_model):
    nobody = django_user_model.objects.create_user("nobody")

    answer = browser(nobody).get("/")

    assert answer.status_code == 403
    assert "You are in no organisation yet" in answer.content.decode()


def test_a_checkpoint_page_shows_lineage_and_findings(acme, checkpoint):
    open_review(checkpoint, USE, actor=acme.submitter)

    page = browser(acme.legal).get(reverse("dashboard:checkpoint", args=[checkpoint.pk]))

    text = page.content.decode()
    assert "acme/base" in text
    assert "apache-2.0" in text
    assert "Because" in text


def test_a_stranger_finds_nothing(acme, checkpoint):
    stranger = browser(make_cast("other").legal)
    review = open_review(checkpoint, USE, actor=acme.submitter)
    endpoint = make_endpoint(acme)

    for name, pk in (
        ("checkpoint", checkpoint.pk),
        ("review", review.pk),
        ("endpoint", endpoint.pk),
    ):
        assert stranger.get(reverse(f"dashboard:{name}", args=[pk])).status_code == 404
    decide = reverse("dashboard:decide", args=[review.pk])
    assert stranger.post(decide, {"stage": "legal", "verdict": "approve"}).status_code == 404


def test_two_reviewers_approve_on_the_page(acme, checkpoint):
    review = open_review(checkpoint, USE, actor=acme.asker)
    url = reverse("dashboard:decide", args=[review.pk])

    for person, stage in ((acme.legal, "legal"), (acme.security, "security")):
        review.refresh_from_db()
        form = {
            "stage": stage,
            "verdict": "approve",
            "seen_digest": review.seen_digest,
            "comment": "read",
            "conditions": "guardrail: measured again each quarter",
        }
        browser(person).post(url, form)

    review.refresh_from_db()
    assert review.state == Review.State.APPROVED
    said = browser(acme.legal).get(reverse("dashboard:review", args=[review.pk])).content.decode()
    assert review.state in said


def test_the_submitter_cannot_approve_on_the_page(acme, checkpoint):
    review = open_review(checkpoint, USE, actor=acme.submitter)
    form = {"stage": "legal", "verdict": "approve", "seen_digest": review.seen_digest}

    answer = browser(acme.submitter).post(
        reverse("dashboard:decide", args=[review.pk]), form, follow=True
    )

    assert review.decisions.count() == 0
    assert "message error" in answer.content.decode()


def test_what_a_suit_would_end_is_shown_and_nothing_is_written(acme, checkpoint):
    form = {
        "reference": "M-1",
        "title": "A suit",
        "kind": "patent",
        "filed_on": "2026-11-01",
        "alleges_model_infringes": "acme/base",
    }
    before = LedgerEntry.objects.count()

    page = browser(acme.legal).post(reverse("dashboard:declare-matter"), form)

    assert "If M-1 is filed" in page.content.decode()
    assert Matter.objects.count() == 0
    assert LedgerEntry.objects.count() == before


def test_the_playground_takes_only_known_fields_and_says_when_the_gateway_is_gone(acme, settings):
    settings.LICTOR_GATEWAY_URL = "http://127.0.0.1:9"
    endpoint = make_endpoint(acme)
    url = reverse("dashboard:chat", args=[endpoint.pk])

    bad = browser(acme.legal).post(url, "no json", content_type="application/json")
    gone = browser(acme.legal).post(url, json.dumps({"messages": []}), "application/json")

    assert (bad.status_code, gone.status_code) == (400, 503)


def test_pages_run_no_inline_scripts(acme):
    answer = browser(acme.legal).get("/")

    assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
    assert "<script>" not in answer.content.decode()
