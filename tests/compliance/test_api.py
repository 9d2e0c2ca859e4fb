"""Check compliance's REST: shapes, roles, strangers, ETags, problems."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from compliance.models import EvidenceJob, Matter, Standing
from compliance.services import evidence, measurements
from registry.keys import make_key
from registry.models import LedgerEntry, User
from registry.services import create_token
from tests.compliance.building import NVIDIA, USE, Cast, make_cast, make_checkpoint

pytestmark = pytest.mark.django_db

MATTER = {
    "reference": "ACME-1",
    "title": "Acme against the makers of base",
    "kind": "patent",
    "status": "draft",
    "alleges_model_infringes": ["lictor/base"],
    "in_response": False,
}


@pytest.fixture(autouse=True)
def _key(settings: Any, tmp_path: Any) -> None:
    settings.LICTOR_KEYS = tmp_path
    make_key("ledger")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def api(cast: Cast, person: User) -> APIClient:
    _, secret = create_token(organisation=cast.organisation, owner=person, name="test")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def _post(client: APIClient, path: str, body: Any = None, status: int = 201, **more: Any) -> Any:
    answer = client.post(f"/api/v1/{path}", body if body is not None else {}, format="json", **more)
    assert answer.status_code == status, answer.content
    return answer.json()


def _get(client: APIClient, path: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == status, answer.content
    return answer.json()


def _open(cast: Cast, name: str = "acme/model") -> dict[str, Any]:
    checkpoint = make_checkpoint(cast, name)
    body = {"checkpoint": str(checkpoint.pk), "use": USE}
    review: dict[str, Any] = _post(api(cast, cast.asker), "reviews/", body)
    return review


def _vote(review: dict[str, Any], stage: str) -> dict[str, Any]:
    return {"stage": stage, "verdict": "approve", "seen_digest": review["seen_digest"]}


def test_the_catalogue_is_listed_and_read_with_its_clauses(cast: Cast) -> None:
    client = api(cast, cast.operator)

    keys = {row["key"] for row in _get(client, "licences/")["results"]}
    one = _get(client, f"licences/{NVIDIA}/")

    assert {NVIDIA, "apache-2.0"} <= keys
    assert "litigation" in {clause["kind"] for clause in one["clauses"]}
    assert _get(client, "licences/absent/", 404)["code"] == "not_found"


def test_a_judgement_is_made_listed_and_read(cast: Cast) -> None:
    client, checkpoint = api(cast, cast.submitter), make_checkpoint(cast, "acme/model")

    made = _post(client, "assessments/", {"checkpoint": str(checkpoint.pk), "use": USE})
    again = _post(client, "assessments/", {"checkpoint": str(checkpoint.pk), "use": USE})

    assert made["id"] == again["id"]
    assert made["report"]["decision"] == made["decision"]
    listed = _get(client, f"assessments/?checkpoint={checkpoint.pk}")["results"]
    assert [row["id"] for row in listed] == [made["id"]]
    assert _get(client, f"assessments/{made['id']}/")["use_digest"] == made["use_digest"]


def test_a_use_that_makes_no_sense_is_refused_with_every_fault(cast: Cast) -> None:
    checkpoint = make_checkpoint(cast, "acme/model")
    use = USE | {"jurisdictions": ["Germany"], "monthly_active_users": -1}

    body = {"checkpoint": str(checkpoint.pk), "use": use}
    problem = _post(api(cast, cast.submitter), "assessments/", body, 400)

    places = {fault["place"] for fault in problem["faults"]}
    assert places == {"use.jurisdictions", "use.monthly_active_users"}


def test_the_whole_review_over_rest(cast: Cast) -> None:
    review = _open(cast)
    path = f"reviews/{review['id']}/decide/"

    assert [row["state"] for row in review["stages"]] == ["waiting", "waiting"]
    half = _post(api(cast, cast.legal), path, _vote(review, "legal"), 200)
    done = _post(api(cast, cast.security), path, _vote(review, "security"), 200)

    assert [row["state"] for row in half["stages"]] == ["approved", "waiting"]
    assert (done["state"], done["stages"][0]["by"]) == ("approved", cast.legal.username)
    assert done["expires_at"]


@pytest.mark.parametrize(
    ("who", "stage", "code"),
    [
        ("submitter", "legal", "separation_of_duties"),
        ("asker", "legal", "separation_of_duties"),
        ("operator", "legal", "role_missing"),
        ("security", "legal", "role_missing"),
    ],
)
def test_who_may_not_decide_is_told_why(cast: Cast, who: str, stage: str, code: str) -> None:
    review = _open(cast)
    client = api(cast, getattr(cast, who))

    problem = _post(client, f"reviews/{review['id']}/decide/", _vote(review, stage), 403)

    assert problem["code"] == code


def test_a_vote_on_an_old_sight_is_a_stale_review(cast: Cast) -> None:
    review = _open(cast)
    pin = {"checkpoint": review["checkpoint"], "licence": "mit", "reason": "Checked the file."}
    legal = api(cast, cast.legal)
    _post(legal, "licence-pins/", pin)

    problem = _post(legal, f"reviews/{review['id']}/decide/", _vote(review, "legal"), 409)

    assert problem["code"] == "stale_review"
    fresh = _get(legal, f"reviews/{review['id']}/")
    assert fresh["seen_digest"] != review["seen_digest"]


def test_a_denied_use_cannot_be_approved(cast: Cast) -> None:
    checkpoint = make_checkpoint(cast, "acme/nc", license="cc-by-nc-4.0")
    body = {"checkpoint": str(checkpoint.pk), "use": USE}
    review = _post(api(cast, cast.asker), "reviews/", body)

    path = f"reviews/{review['id']}/decide/"
    problem = _post(api(cast, cast.legal), path, _vote(review, "legal"), 409)

    assert problem["code"] == "assessment_denies"
    assert problem["findings"][0]["rule"] == "noncommercial"


def test_a_second_review_points_at_the_first(cast: Cast) -> None:
    review = _open(cast)
    body = {"checkpoint": review["checkpoint"], "use": USE}

    problem = _post(api(cast, cast.submitter), "reviews/", body, 409)

    assert problem["review"] == review["id"]


def test_an_approval_is_withdrawn(cast: Cast) -> None:
    review = _open(cast)

    gone = _post(api(cast, cast.legal), f"reviews/{review['id']}/withdraw/", {}, 200)

    assert gone["state"] == "withdrawn"
    path = f"reviews/{review['id']}/withdraw/"
    assert _post(api(cast, cast.legal), path, {}, 409)["code"] == "stale_state"


def test_pins_and_waivers_are_made_listed_and_revoked(cast: Cast) -> None:
    checkpoint, legal = str(make_checkpoint(cast, "acme/model").pk), api(cast, cast.legal)
    expires = (timezone.now() + timedelta(days=3)).isoformat()
    waiver = {
        "checkpoint": checkpoint,
        "rule": "acceptable_use",
        "reason": "Trial.",
        "expires_at": expires,
    }

    pin = _post(
        legal, "licence-pins/", {"checkpoint": checkpoint, "licence": NVIDIA, "reason": "Read."}
    )
    made = _post(legal, "waivers/", waiver)
    gone = _post(legal, f"waivers/{made['id']}/revoke/", {}, 200)

    assert [row["id"] for row in _get(legal, "licence-pins/")["results"]] == [pin["id"]]
    assert (made["licence"], made["owner"]) == ("*", cast.legal.username)
    assert gone["revoked_at"]
    assert _get(legal, f"waivers/?checkpoint={checkpoint}")["results"][0]["id"] == made["id"]


def test_an_unknown_licence_cannot_be_pinned(cast: Cast) -> None:
    body = {
        "checkpoint": str(make_checkpoint(cast, "acme/model").pk),
        "licence": "wtf",
        "reason": "x",
    }

    problem = _post(api(cast, cast.legal), "licence-pins/", body, 400)

    assert problem["code"] == "licence_unknown"


def test_a_what_if_writes_nothing(cast: Cast) -> None:
    base, legal = make_checkpoint(cast, "lictor/base", license="other"), api(cast, cast.legal)
    _post(
        legal,
        "licence-pins/",
        {"checkpoint": str(base.pk), "licence": NVIDIA, "reason": "Read."},
    )
    before = LedgerEntry.objects.count()

    found = _post(legal, "matters/what-if/", MATTER, 200)

    assert [row["name"] for row in found["checkpoints"]] == ["lictor/base"]
    assert found["clauses"][0]["licence"] == NVIDIA
    assert LedgerEntry.objects.count() == before
    assert not Matter.objects.exists()
    assert not Standing.objects.exists()


def test_a_matter_is_drafted_filed_and_withdrawn(cast: Cast) -> None:
    legal = api(cast, cast.legal)
    made = _post(legal, "matters/", MATTER)
    path = f"matters/{made['id']}/"

    etag = legal.get(f"/api/v1/{path}")["ETag"]
    stale = _post(legal, f"{path}file/", {}, 412, HTTP_IF_MATCH='"7"')
    filed = _post(legal, f"{path}file/", {"filed_on": "2026-03-01"}, 200, HTTP_IF_MATCH=etag)
    gone = _post(legal, f"{path}withdraw/", {}, 200)

    assert stale["code"] == "precondition_failed"
    assert (filed["status"], filed["filed_on"]) == ("filed", "2026-03-01")
    assert gone["status"] == "withdrawn"
    assert [row["id"] for row in _get(legal, "matters/")["results"]] == [made["id"]]


def test_the_same_idempotency_key_declares_one_matter(cast: Cast) -> None:
    legal = api(cast, cast.legal)

    first = _post(legal, "matters/", MATTER, 201, HTTP_IDEMPOTENCY_KEY="k1")
    second = _post(legal, "matters/", MATTER, 201, HTTP_IDEMPOTENCY_KEY="k1")

    assert first["id"] == second["id"]
    assert Matter.objects.count() == 1


def test_evidence_is_attested_and_read(cast: Cast) -> None:
    legal = api(cast, cast.legal)
    body = {
        "checkpoint": str(make_checkpoint(cast, "acme/model").pk),
        "kind": "acceptable_use",
        "result": "confirmed",
        "summary": "Policy read.",
    }

    made = _post(legal, "evidence/", body)

    assert made["record"]["body"]["statement"] == "Policy read."
    assert _get(legal, f"evidence/{made['id']}/")["signature"] == made["signature"]
    assert [row["id"] for row in _get(legal, "evidence/")["results"]] == [made["id"]]


def test_a_measurement_is_queued_and_followed(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "load_suite", lambda name: None)
    monkeypatch.setattr(measurements, "_done_job", lambda *_: None)
    base = make_checkpoint(cast, "acme/base")
    child = make_checkpoint(cast, "acme/child", parent=base)
    client = api(cast, cast.security)

    job = _post(client, "evidence/measure/", {"checkpoint": str(child.pk)}, 202)

    assert (job["state"], job["base"]) == ("queued", str(base.pk))
    assert _get(client, f"evidence/jobs/{job['id']}/")["total"] == 0
    alone = _post(client, "evidence/measure/", {"checkpoint": str(base.pk)}, 422)
    assert alone["code"] == "not_measurable"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("licence-pins/", {"licence": "mit", "reason": "x"}),
        (
            "waivers/",
            {"rule": "badge", "reason": "x", "expires_at": "2026-12-01T00:00:00Z"},
        ),
        ("matters/", MATTER),
        ("matters/what-if/", MATTER),
        ("evidence/", {"kind": "acceptable_use", "result": "confirmed", "summary": "x"}),
        ("evidence/measure/", {}),
        ("assessments/", {"use": USE}),
        ("reviews/", {"use": USE}),
    ],
)
def test_an_operator_changes_nothing_in_compliance(
    cast: Cast, path: str, body: dict[str, Any]
) -> None:
    checkpoint = make_checkpoint(cast, "acme/model")
    full = body if path.startswith("matters") else body | {"checkpoint": str(checkpoint.pk)}

    assert _post(api(cast, cast.operator), path, full, 403)["code"] == "role_missing"


def test_an_operator_does_not_read_matters(cast: Cast) -> None:
    assert _get(api(cast, cast.operator), "matters/", 403)["code"] == "role_missing"


def _everything(cast: Cast) -> dict[str, str]:
    """Make one of each and give the path of each."""
    review, legal = _open(cast), api(cast, cast.legal)
    checkpoint = make_checkpoint(cast, "acme/base")
    child = make_checkpoint(cast, "acme/child", parent=checkpoint)
    matter = _post(legal, "matters/", MATTER)
    row = evidence.attest(
        checkpoint, kind="acceptable_use", result="confirmed", summary="x", actor=cast.legal
    )
    job = EvidenceJob.objects.create(
        organisation=cast.organisation, checkpoint=child, base=checkpoint, suite="tiny"
    )
    return {
        "assessments": review["assessment"],
        "reviews": review["id"],
        "matters": matter["id"],
        "evidence": str(row.pk),
        "evidence/jobs": str(job.pk),
    }


def test_a_stranger_finds_nothing(cast: Cast) -> None:
    other = make_cast("other")
    stranger = api(other, other.legal)

    made = _everything(cast)

    for kind, key in made.items():
        assert _get(api(cast, cast.legal), f"{kind}/{key}/")["id"] == key
        assert _get(stranger, f"{kind}/{key}/", 404)["code"] == "not_found"
    for kind in ("assessments", "reviews", "matters", "evidence", "licence-pins", "waivers"):
        assert _get(stranger, f"{kind}/")["results"] == []


@pytest.mark.parametrize("move", ["file", "withdraw"])
def test_a_stranger_moves_no_matter(cast: Cast, move: str) -> None:
    other = make_cast("other")
    matter = _post(api(cast, cast.legal), "matters/", MATTER)

    problem = _post(api(other, other.legal), f"matters/{matter['id']}/{move}/", {}, 404)

    assert problem["code"] == "not_found"
    assert Matter.objects.get().status == "draft"


@pytest.mark.parametrize("path", ["licence-pins/", "assessments/", "reviews/", "evidence/measure/"])
def test_a_stranger_names_no_checkpoint_of_ours(cast: Cast, path: str) -> None:
    other = make_cast("other")
    person = other.legal if path == "licence-pins/" else other.submitter
    bodies = {
        "licence-pins/": {"licence": "mit", "reason": "x"},
        "assessments/": {"use": USE},
        "reviews/": {"use": USE},
        "evidence/measure/": {},
    }
    body = bodies[path] | {"checkpoint": str(make_checkpoint(cast, "acme/model").pk)}

    assert _post(api(other, person), path, body, 404)["code"] == "not_found"


def test_without_a_token_nothing_is_served(cast: Cast) -> None:
    assert APIClient().get("/api/v1/reviews/").status_code in (401, 403)
