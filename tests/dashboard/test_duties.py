"""The duty pages: a member sees and acts by role, a stranger gets 404."""

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Duty
from tests.compliance.building import make_cast
from tests.compliance.test_services_duties import review as review_fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys", "blobs")]
review = review_fixture


@pytest.fixture
def acme():
    return make_cast("acme")


@pytest.fixture
def badge(review):
    from compliance.services.duties import follow

    follow(review)
    return Duty.objects.get(rule="badge")


def browser(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_the_list_names_what_is_due_and_why(acme, badge):
    text = browser(acme.asker).get(reverse("dashboard:duties")).content.decode()

    assert "Show the words to users" in text
    assert "Built with Llama" in text
    assert "nobody yet" in text


def test_mine_only(acme, badge):
    url = reverse("dashboard:duties") + "?mine=1"

    assert "Show the words" not in browser(acme.legal).get(url).content.decode()


def test_a_duty_page_quotes_its_clause(acme, badge):
    text = browser(acme.legal).get(reverse("dashboard:duty", args=[badge.pk])).content.decode()

    assert "State that it is done" in text
    assert "Plan it" in text


def test_a_submitter_plans_nothing(acme, badge):
    page = browser(acme.submitter).get(reverse("dashboard:duty", args=[badge.pk]))
    assert "Plan it" not in page.content.decode()

    browser(acme.submitter).post(
        reverse("dashboard:plan-duty", args=[badge.pk]), {"owner": acme.submitter.username}
    )
    badge.refresh_from_db()
    assert badge.owner is None


def test_counsel_plans_and_proves(acme, badge):
    client = browser(acme.legal)

    client.post(
        reverse("dashboard:plan-duty", args=[badge.pk]),
        {"owner": acme.asker.username, "due_on": "2999-01-01"},
    )
    badge.refresh_from_db()
    assert (badge.owner_name, str(badge.due_on)) == (acme.asker.username, "2999-01-01")

    client.post(reverse("dashboard:prove-duty", args=[badge.pk]), {"note": "On the about page"})
    badge.refresh_from_db()
    assert (badge.state, badge.note) == ("done", "On the about page")


@pytest.mark.parametrize("name", ["duty", "plan-duty", "prove-duty"])
def test_a_strangers_duty_does_not_exist(badge, name):
    client = browser(make_cast("other").legal)
    url = reverse(f"dashboard:{name}", args=[badge.pk])

    answer = client.get(url) if name == "duty" else client.post(url, {"note": "x"})
    assert answer.status_code == 404


def test_text_from_outside_is_escaped(acme, badge):
    Duty.objects.update(seen_because="<script>alert(1)</script>", seen_at="2026-01-01T00:00Z")

    page = browser(acme.legal).get(reverse("dashboard:duty", args=[badge.pk]))
    assert "<script>alert" not in page.content.decode()
