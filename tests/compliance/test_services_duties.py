"""An approved use brings duties; people take them, prove them, and machines look."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compliance.models import Duty, DutyRound, Evidence, Review
from compliance.pages import PageUnreadable, is_allowed, read_page, visible_text
from compliance.services import duty_acts
from compliance.services.assess import assess
from compliance.services.duties import follow, look
from compliance.tasks import sweep_duties
from registry.errors import BadInput, LictorError, StaleState
from registry.models import LedgerEntry
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keys", "blobs")]
OUT: dict[str, Any] = {**USE, "purposes": ["redistribution"], "licensee_home": "US"}


@pytest.fixture
def acme() -> Cast:
    return make_cast("acme")


@pytest.fixture
def review(acme: Cast) -> Review:
    """Give a use of a Llama derivative that is approved, as far as duties care."""
    base = make_checkpoint(acme, "meta-llama/Llama-3.1-8B", license="llama3.1")
    tuned = make_checkpoint(acme, "acme/Llama-tuned", parent=base, license="llama3.1")
    row = assess(tuned, OUT, actor="test")
    return Review.objects.create(
        organisation=acme.organisation,
        checkpoint=tuned,
        use=row.use,
        use_digest=row.use_digest,
        assessment=row,
        seen_digest=row.seen_digest,
        state=Review.State.APPROVED,
        opened_by=acme.submitter,
        opened_by_name=acme.submitter.username,
    )


def one(review: Review, rule: str) -> Duty:
    rows = Duty.objects.select_related("organisation", "checkpoint__model", "review")
    return rows.get(review=review, rule=rule)


def test_an_approved_use_brings_the_duties_of_its_licences(review: Review) -> None:
    follow(review)

    found = dict(Duty.objects.filter(review=review).values_list("rule", "state"))
    assert found["notice_file"] == found["badge"] == "open"
    assert found["user_threshold"] == "done"
    duty = one(review, "notice_file")
    assert duty.licence_key == "llama-3.1"
    assert duty.quote in "".join(duty.quote.split("\n"))
    assert duty.due_on == timezone.now().date() + timedelta(days=14)


def test_following_twice_changes_nothing(review: Review) -> None:
    follow(review)
    entries = LedgerEntry.objects.count()

    assert follow(review) == 0
    assert LedgerEntry.objects.count() == entries


def test_a_use_that_is_not_approved_brings_none(review: Review) -> None:
    Review.objects.update(state=Review.State.OPEN)
    review.refresh_from_db()

    assert follow(review) == 0
    assert not Duty.objects.exists()


def test_duties_lapse_with_the_approval(review: Review) -> None:
    follow(review)
    Review.objects.update(state=Review.State.WITHDRAWN)
    sweep_duties()

    assert set(Duty.objects.values_list("state", flat=True)) == {"lapsed"}
    assert not DutyRound.objects.exists()


def test_a_proof_is_a_signed_statement_that_the_rules_read(acme: Cast, review: Review) -> None:
    follow(review)

    done = duty_acts.prove(one(review, "badge"), note="On the about page.", actor=acme.legal)
    assert (done.state, done.done_by_name) == ("done", acme.legal.username)
    evidence = Evidence.objects.get(pk=done.proof_id)
    assert (evidence.kind, evidence.result, evidence.method) == (
        "badge_shown", "confirmed", "attested",
    )  # fmt: skip
    report = review.checkpoint.assessments.get(is_current=True, use_digest=review.use_digest).report
    assert {x["status"] for x in report["findings"] if x["rule"] == "badge"} == {"met"}


def test_no_statement_settles_what_files_show(acme: Cast, review: Review) -> None:
    follow(review)

    with pytest.raises(BadInput, match="files themselves"):
        duty_acts.prove(one(review, "notice_file"), note="It is there.", actor=acme.legal)


def test_a_number_looked_at_falls_due_again(acme: Cast, review: Review) -> None:
    follow(review)
    Duty.objects.filter(rule="user_threshold").update(due_on=timezone.now().date())
    sweep_duties()

    duty = one(review, "user_threshold")
    assert duty.state == "open"
    done = duty_acts.prove(duty, note="1,200 in October.", actor=acme.legal)
    assert done.state == "done"
    assert done.due_on == timezone.now().date() + timedelta(days=365)
    assert sweep_duties() == 0
    assert one(review, "user_threshold").state == "done"


def test_only_those_who_may_plan_and_only_members_own(acme: Cast, review: Review) -> None:
    follow(review)
    duty, stranger = one(review, "badge"), make_cast("other").legal

    with pytest.raises(LictorError):
        duty_acts.plan(duty, owner=acme.asker, actor=acme.asker)
    with pytest.raises(BadInput, match="no member"):
        duty_acts.plan(duty, owner=stranger, actor=acme.legal)
    planned = duty_acts.plan(duty, owner=acme.asker, actor=acme.legal)
    assert planned.owner_name == acme.asker.username
    with pytest.raises(StaleState):
        duty_acts.plan(duty, owner=acme.asker, actor=acme.legal)


@pytest.fixture
def page(tmp_path: Path, settings: Any) -> Iterator[tuple[str, Path]]:
    """Serve a folder on this machine, and name its host as one that may be read."""
    (tmp_path / "about.html").write_text("<p>Hello")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)

        def log_message(self, *args: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_address[1]}"
    settings.LICTOR_PAGE_HOSTS = [host]
    yield f"http://{host}/about.html", tmp_path / "about.html"
    server.shutdown()
    server.server_close()


def test_a_badge_that_a_page_shows_is_measured_and_so_is_its_loss(
    acme: Cast, review: Review, page: tuple[str, Path]
) -> None:
    url, file = page
    follow(review)
    duty_acts.plan(one(review, "badge"), page_url=url, actor=acme.legal)
    assert look(one(review, "badge")).kept is False

    file.write_text("<title>x</title><p>Built <b>with</b> Llama</p>")
    assert look(one(review, "badge")).kept is True
    follow(review)
    assert one(review, "badge").state == "done"

    file.write_text("<script>'Built with Llama'</script>")
    assert look(one(review, "badge")).kept is False
    follow(review)
    assert one(review, "badge").state == "open"
    results = Evidence.objects.filter(kind="badge_shown").order_by("created_at")
    assert [row.result for row in results] == ["missing", "confirmed", "missing"]


def test_the_server_reads_no_page_that_the_operator_did_not_name(
    acme: Cast, review: Review, settings: Any
) -> None:
    follow(review)

    with pytest.raises(BadInput, match="LICTOR_PAGE_HOSTS"):
        duty_acts.plan(
            one(review, "badge"), page_url="http://169.254.169.254/latest", actor=acme.legal
        )
    with pytest.raises(PageUnreadable):
        read_page("https://example.org/")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.org/about", True),
        ("https://example.org:443/about", True),
        ("http://example.org/about", False),
        ("https://example.org:8443/", False),
        ("https://example.org.evil.test/", False),
        ("https://user@example.org/", False),
        ("https://evil.test/@example.org", False),
        ("http://localhost:8000/", True),
        ("http://localhost:8001/", False),
        ("file:///etc/passwd", False),
    ],
)
def test_which_pages_may_be_read(url: str, allowed: bool, settings: Any) -> None:
    settings.LICTOR_PAGE_HOSTS = ["example.org", "localhost:8000"]

    assert is_allowed(url) is allowed


def test_what_a_visitor_reads() -> None:
    html = "<style>a{}</style><p>Built&nbsp;with <img alt='Llama'><noscript>no</noscript>"

    assert visible_text(html) == "Built with Llama"


def store(checkpoint: Any, name: str, text: str) -> None:
    raw = text.encode()
    from registry import storage

    sha = hashlib.sha256(raw).hexdigest()
    path = storage.blob_path(sha)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    manifest = {**checkpoint.manifest}
    manifest["files"] = [
        *manifest["files"], {"path": name, "size": len(raw), "sha256": sha},
    ]  # fmt: skip
    type(checkpoint).objects.filter(pk=checkpoint.pk).update(manifest=manifest)


def test_a_notice_in_the_files_is_seen(review: Review) -> None:
    follow(review)
    duty = one(review, "notice_file")
    assert look(duty).kept is False

    store(review.checkpoint, "NOTICE", duty.words[0])
    assert look(one(review, "notice_file")).kept is True
    assert one(review, "notice_file").state == "done"
