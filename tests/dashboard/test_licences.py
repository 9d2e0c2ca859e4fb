"""The licence pages: a lawyer reads, corrects, proposes; another decides; strangers see nothing."""

import pytest
from django.test import Client
from django.urls import reverse

from compliance import selectors_licences as selectors
from compliance.models import LicenceRecord
from compliance.services import licences
from compliance.services.assess import assess
from tests.compliance.building import USE, make_cast, make_checkpoint, make_person
from tests.compliance.test_organisation_licences import HOUSE, NO_MONEY, bundled, in_force

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys", "blobs")]


@pytest.fixture
def acme():
    return make_cast("acme")


@pytest.fixture
def counsel(acme):
    return make_person(acme.organisation, "acme-lou", "legal_reviewer")


def browser(person, **options) -> Client:
    client = Client(**options)
    client.force_login(person)
    return client


def text_of(answer) -> str:
    return answer.content.decode()


def url(name, *args) -> str:
    return reverse(f"dashboard:licence-{name}", args=args)


def typed(text, **more):
    return {"yaml": text, "reason": "Counsel read it.", "act": "propose", **more}


def test_a_licence_reads_clause_by_clause_with_what_is_asked(acme):
    page = text_of(browser(acme.submitter).get(reverse("dashboard:licence", args=["mit"])))

    assert "“The above copyright notice and this permission notice shall be included" in page
    assert "§ paragraph 2" in page
    assert "Looks for the text of the licence among the files that go out." in page
    assert "copies go out" in page
    assert "No counsel has read it." in page
    assert "Correct this record" not in page


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ({"words": "apache"}, "apache-2.0", "llama-3.1</code>"),
        ({"family": "mit"}, ">mit<", "apache-2.0</code>"),
        ({"origin": "organisation"}, "house-1", "apache-2.0</code>"),
        ({"counsel": "yes"}, "house-1", "apache-2.0</code>"),
        ({"status": "second_hand"}, "nvidia-community-model-2024-08", "apache-2.0</code>"),
    ],
)
def test_the_list_is_narrowed_as_asked(acme, counsel, query, shown, hidden):
    in_force(acme, counsel, HOUSE)

    page = text_of(browser(acme.legal).get(reverse("dashboard:licences"), query))

    assert shown in page
    assert hidden not in page.split("<h2>Decided</h2>")[0]


def test_a_lawyer_corrects_and_another_approves_on_the_pages(acme, counsel):
    model = make_checkpoint(acme, "acme/model", license="mit")
    assess(model, USE, actor="x")
    lena, lou = browser(acme.legal), browser(counsel)
    form = lena.get(url("edit", "mit"))
    assert "title: MIT License" in text_of(form)

    sent = lena.post(
        url("edit", "mit"), typed(bundled("mit") + NO_MONEY, ground=form.context["ground"])
    )

    row = LicenceRecord.objects.get()
    assert sent.headers["Location"] == url("version", row.pk)
    mine, theirs = (text_of(one.get(url("version", row.pk))) for one in (lena, lou))
    assert "Waiting for somebody else" in mine
    assert 'value="approve"' not in mine
    assert "<ins>No money.</ins>" in theirs
    assert "acme/model" in theirs
    assert "<strong>deny</strong>" in theirs
    lou.post(url("move", row.pk), {"act": "approve", "seen": row.version, "reason": "Read."})
    assert selectors.entry(acme.organisation, "mit").origin == "organisation"
    shown = text_of(lena.get(url("history", "mit")))
    assert "approved by acme-lou" in shown
    assert "Propose to retire it" in shown


def test_a_draft_waits_for_its_author_to_propose_it(acme, counsel):
    lena = browser(acme.legal)
    lena.post(url("new"), typed(HOUSE, act="draft"))
    row = LicenceRecord.objects.get()
    assert (row.state, row.reason) == ("draft", "Counsel read it.")

    lena.post(url("move", row.pk), {"act": "propose", "seen": row.version})

    row.refresh_from_db()
    assert row.state == "proposed"


def test_the_author_cannot_approve_by_sending_the_form_anyway(acme):
    lena = browser(acme.legal)
    lena.post(url("new"), typed(HOUSE))
    row = LicenceRecord.objects.get()

    answer = lena.post(url("move", row.pk), {"act": "approve", "seen": row.version}, follow=True)

    row.refresh_from_db()
    assert row.state == "proposed"
    assert "somebody else has to decide" in text_of(answer)


@pytest.mark.parametrize("seen", ["1", "", "x", "9" * 40])
def test_a_decision_on_a_page_that_is_out_of_date_is_refused(acme, counsel, seen):
    row = licences.submit(acme.organisation, text=HOUSE, reason="x", actor=acme.legal)

    answer = browser(counsel).post(
        url("move", row.pk), {"act": "approve", "seen": seen}, follow=True
    )

    row.refresh_from_db()
    assert (row.state, row.version) == ("proposed", 2)
    assert "was moved; read it again" in text_of(answer)


def test_faults_come_back_with_lines_and_nothing_typed_is_lost(acme):
    text = HOUSE.replace("status: read", "status: maybe")

    answer = browser(acme.legal).post(url("new"), typed(text.replace("\n", "\r\n")))

    page = text_of(answer)
    assert answer.status_code == 400
    assert "line 8, status: must be one of" in page
    assert "status: maybe" in page
    assert "Counsel read it." in page
    assert LicenceRecord.objects.count() == 0


@pytest.mark.parametrize(
    ("text", "key", "change", "faults"),
    [
        (HOUSE, "house-1", "adds", []),
        (HOUSE.replace("status: read", "status: x"), "house-1", "", [("status", 8)]),
        ("key: [", "[", "", [("(document)", 1)]),
    ],
)
def test_a_text_is_checked_while_it_is_written(acme, text, key, change, faults):
    answer = browser(acme.legal).post(url("check"), {"yaml": text}).json()

    assert (answer["key"], answer["change"]) == (key, change)
    assert [(one["place"], one["line"]) for one in answer["faults"]] == faults
    assert LicenceRecord.objects.count() == 0


def test_checking_says_when_nothing_would_change(acme):
    answer = browser(acme.legal).post(url("check"), {"yaml": "# same\n" + bundled("mit")}).json()

    assert answer == {"key": "mit", "faults": [], "change": "repeats"}


def test_a_form_on_old_ground_is_refused_and_kept(acme, counsel):
    lena = browser(acme.legal)
    ground = lena.get(url("edit", "mit")).context["ground"]
    in_force(acme, counsel, bundled("mit") + NO_MONEY)

    answer = lena.post(url("edit", "mit"), typed(bundled("mit") + "# new\n", ground=ground))

    assert answer.status_code == 400
    assert "read it again" in text_of(answer)


def test_only_a_legal_reviewer_gets_the_forms(acme):
    erin = browser(acme.submitter)

    assert erin.get(url("new")).status_code == 403
    assert erin.get(url("edit", "mit")).status_code == 403
    assert erin.post(url("new"), typed(HOUSE)).status_code == 403
    assert erin.post(url("check"), {"yaml": HOUSE}).status_code == 403
    assert LicenceRecord.objects.count() == 0


def test_a_stranger_finds_no_version_and_moves_none(acme, counsel):
    in_force(acme, counsel, HOUSE)
    row = licences.submit(
        acme.organisation, text=HOUSE.replace("Acme", "Us"), reason="x", actor=acme.legal
    )
    stranger = browser(make_cast("other").legal)

    for page in (url("version", row.pk), url("history", "house-1"), url("edit", "house-1")):
        assert stranger.get(page).status_code == 404
    assert stranger.get(reverse("dashboard:licence", args=["house-1"])).status_code == 404
    assert stranger.get(url("edit", "mit"), {"from": row.pk}).status_code == 404
    assert stranger.post(url("move", row.pk), {"act": "approve"}).status_code == 404
    assert stranger.post(url("retire", "house-1"), {"reason": "x"}).status_code == 404
    assert LicenceRecord.objects.filter(state="active").count() == 1


@pytest.mark.parametrize("name", ["new", "check", "move", "retire"])
def test_a_form_without_its_token_is_refused(acme, counsel, name):
    row = in_force(acme, counsel, HOUSE)
    args = {"move": [row.pk], "retire": ["house-1"]}.get(name, [])

    answer = browser(acme.legal, enforce_csrf_checks=True).post(url(name, *args), typed(HOUSE))

    assert answer.status_code == 403
    assert LicenceRecord.objects.count() == 1


def test_markup_in_a_record_is_shown_and_never_run(acme, counsel):
    evil = "<script>alert(1)</script>"
    text = HOUSE.replace("You may not use the Model for money.", f"'{evil}'")
    row = in_force(acme, counsel, text.replace("House Licence", f"'{evil}'"))
    lena = browser(acme.legal)

    for page in (
        reverse("dashboard:licences"),
        reverse("dashboard:licence", args=["house-1"]),
        url("version", row.pk),
        url("history", "house-1"),
        url("edit", "house-1"),
    ):
        shown = text_of(lena.get(page))
        assert evil not in shown
        assert "&lt;script&gt;" in shown


def test_records_that_fit_no_more_are_shown_and_can_be_retired(acme, counsel, settings, tmp_path):
    digest = f"text_sha256: [{'a' * 64}]\nreviewed_by:"
    in_force(acme, counsel, HOUSE.replace("reviewed_by:", digest))
    (tmp_path / "own").mkdir()
    rival = HOUSE.replace("house-1", "rival").replace("reviewed_by:", digest)
    (tmp_path / "own" / "rival.yaml").write_text(rival)
    settings.LICTOR_LICENCES = str(tmp_path / "own")
    lena, model = browser(acme.legal), make_checkpoint(acme, "acme/model")

    page = lena.get(reverse("dashboard:licences"))
    lena.post(url("retire", "house-1"), {"reason": "The operator has it now."})

    assert "do not fit the catalogue" in text_of(page)
    assert url("history", "house-1") in text_of(page)
    assert lena.get(reverse("dashboard:checkpoint", args=[model.pk])).status_code == 200
    row = LicenceRecord.objects.get(change="retire")
    browser(counsel).post(url("move", row.pk), {"act": "approve", "seen": row.version})
    assert selectors.entry(acme.organisation, "rival").origin == "operator"
