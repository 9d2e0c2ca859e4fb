"""The pages of policies: write, check, try, activate; strangers get 404, mistakes keep the text."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import PolicyDryRun, PolicyVersion
from compliance.services import policies, policy_dry_runs
from compliance.services.assess import assess
from compliance.services.reviews import decide, open_review
from tests.compliance.building import USE, make_cast, make_checkpoint, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys", "blobs")]

EXAMPLE = (Path(__file__).parents[2] / "docs" / "examples" / "policy.yaml").read_text()
SMALL = "name: small\nrules: [{id: all, when: 'true', then: condition, because: Everything.}]\n"


@pytest.fixture
def acme():
    return make_cast("acme")


def browser(person) -> Client:
    client = Client()
    client.force_login(person)
    return client


def write(acme, document=SMALL, by=None) -> PolicyVersion:
    return policies.save(acme.organisation, document=document, reason="why", actor=by or acme.legal)


def page(person, name, *arguments) -> str:
    answer = browser(person).get(reverse(f"dashboard:{name}", args=arguments))
    assert answer.status_code == 200
    return answer.content.decode()


def send(person, name, *arguments, **form):
    return browser(person).post(reverse(f"dashboard:{name}", args=arguments), form, follow=True)


def test_a_member_sees_versions_and_only_reviewers_the_editor(acme):
    write(acme)

    assert "Write the next version" in page(acme.legal, "policies")
    seen = page(acme.operator, "policies")
    assert "small" in seen
    assert "Write the next version" not in seen
    assert Client().get("/policies/").headers["Location"].startswith("/login/")


def test_a_stranger_finds_nothing(acme):
    row = write(acme)
    run = policy_dry_runs.start(row, actor=acme.legal)
    stranger = browser(make_cast("other").legal)

    for name, pk in (("policy", row.pk), ("policy-dry-run", run.pk)):
        assert stranger.get(reverse(f"dashboard:{name}", args=[pk])).status_code == 404
    for name in ("move-policy", "try-policy"):
        assert stranger.post(reverse(f"dashboard:{name}", args=[row.pk])).status_code == 404
    row.refresh_from_db()
    assert row.state == "draft"


def test_what_was_typed_is_kept_with_every_fault_beside_it(acme):
    broken = SMALL.replace("'true'", "use.comercial").replace("condition", "allow")

    answer = send(acme.legal, "save-policy", document=broken, reason="why", act="save")

    text = answer.content.decode()
    assert answer.status_code == 400
    assert "use.comercial" in text
    assert "<code>rules[0].when</code>: column 5: unknown field &#x27;comercial&#x27;" in text
    assert "<code>rules[0].then</code>" in text
    assert not PolicyVersion.objects.exists()


def test_a_check_runs_the_tests_and_writes_nothing(acme):
    failing = SMALL + "tests: [{name: never, expect: {all: silent}}]\n"

    answer = send(acme.legal, "save-policy", document=failing, reason="kept", act="check")

    text = answer.content.decode()
    assert "all: fired, expected silent" in text
    assert 'value="kept"' in text
    assert not PolicyVersion.objects.exists()


def test_a_version_shows_rules_tests_history_and_difference(acme):
    write(acme)
    answer = send(acme.security, "save-policy", document=EXAMPLE, reason="more", act="save")

    text = answer.content.decode()
    assert "Version 2 is written" in text
    assert "no_agpl_when_hosted" in text
    assert "hiring takes two approvers" in text
    assert "Against version 1" in text
    assert '<span class="removed">- name: small</span>' in text
    assert "You wrote this version" in text


def test_somebody_else_activates_and_the_first_retires(acme):
    row = write(acme)

    own = send(acme.legal, "move-policy", row.pk, act="activate", version="1")
    send(acme.security, "move-policy", row.pk, act="activate", version="1")
    row.refresh_from_db()

    assert "somebody else has to activate it" in own.content.decode()
    assert (row.state, row.activated_by_name) == ("active", "acme-sam")
    assert "activated by acme-sam" in page(acme.operator, "policies")
    stale = send(acme.legal, "move-policy", row.pk, act="retire", version="1")
    assert "moved by somebody else" in stale.content.decode()
    send(acme.legal, "move-policy", row.pk, act="retire", version=str(row.version))
    row.refresh_from_db()
    assert row.state == "retired"


@pytest.mark.parametrize("form", [{}, {"act": "delete", "version": "1"}, {"act": "retire"}])
def test_a_move_that_is_none_is_refused(acme, form):
    row = write(acme)

    answer = send(acme.security, "move-policy", row.pk, **form)

    assert "Say whether to activate or to retire" in answer.content.decode()


def test_a_trial_shows_counts_and_each_change(acme):
    assess(make_checkpoint(acme, "acme/tuned"), USE, actor="test")
    make_checkpoint(acme, "acme/unjudged")

    answer = send(acme.legal, "try-policy", write(acme).pk)

    text = answer.content.decode()
    assert "of 1 judgements change" in text
    assert "acme/tuned" in text
    assert "+ policy:all" in text
    assert "1 checkpoint not judged" in text


def test_a_trial_that_changes_nothing_says_so(acme):
    silent = SMALL.replace("'true'", "'false'")

    answer = send(acme.legal, "try-policy", write(acme, silent).pk)

    assert "Nothing: every judgement stays as it is." in answer.content.decode()


def test_a_long_trial_shows_progress_and_asks_again(acme, monkeypatch):
    monkeypatch.setattr(policy_dry_runs, "AT_ONCE", -1)
    run = policy_dry_runs.start(write(acme), actor=acme.legal)
    PolicyDryRun.objects.filter(pk=run.pk).update(done=3, total=9, state="running")

    answer = browser(acme.operator).get(reverse("dashboard:policy-dry-run", args=[run.pk]))

    assert answer["Refresh"] == "2"
    assert "3 of 9 judged" in answer.content.decode()


def test_who_only_deploys_can_try_and_move_nothing(acme):
    row = write(acme)

    for name, form in (("try-policy", {}), ("move-policy", {"act": "activate", "version": "1"})):
        assert "message error" in send(acme.operator, name, row.pk, **form).content.decode()
    row.refresh_from_db()
    assert row.state == "draft"
    assert not PolicyDryRun.objects.exists()


def test_the_review_page_shows_how_many_people_and_which_stage_it_needs(acme):
    rules = (
        "name: more eyes\nrules:\n"
        "- {id: two, when: 'true', then: 'approvers:2', because: Two.}\n"
        "- {id: look, when: 'true', then: 'stage:safety', because: Look.}\n"
    )
    policies.activate(write(acme, rules), actor=acme.security)
    review = open_review(make_checkpoint(acme, "acme/model"), USE, actor=acme.asker)
    other = make_person(acme.organisation, "lou", "legal_reviewer")
    fields = {"seen_digest": review.seen_digest, "conditions": ["policy:look: seen by legal"]}
    decide(review, stage="legal", verdict="approve", actor=acme.legal, **fields)

    seen = page(other, "review", review.pk)
    by_security = page(acme.security, "review", review.pk)

    assert "1 of 2" in seen
    assert "<option>legal</option>" in seen
    assert "<option>security</option><option>safety</option>" in by_security
    assert "approvers:2" in seen
