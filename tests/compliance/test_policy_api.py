"""Check the REST of policies: shapes, roles, strangers, ETags, problems."""

from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from compliance.services import policy_dry_runs
from compliance.services.assess import assess
from registry.keys import make_key
from registry.models import User
from registry.services import create_token
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint

pytestmark = pytest.mark.django_db

EXAMPLE = (Path(__file__).parents[2] / "docs" / "examples" / "policy.yaml").read_text()
SMALL = "name: small\nrules: [{id: all, when: 'true', then: condition, because: Everything.}]\n"


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
    answer = client.post(f"/api/v1/policies/{path}", body or {}, format="json", **more)
    assert answer.status_code == status, answer.content
    return answer.json()


def _get(client: APIClient, path: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1/policies/{path}")
    assert answer.status_code == status, answer.content
    return answer.json()


def _save(cast: Cast, document: str = EXAMPLE) -> Any:
    return _post(api(cast, cast.legal), "", {"document": document, "reason": "first"})


def test_a_version_is_written_read_and_listed(cast: Cast) -> None:
    row = _save(cast)

    read = _get(api(cast, cast.operator), f"{row['id']}/")

    assert (read["number"], read["state"], read["author"]) == (1, "draft", "acme-lena")
    assert read["document"] == EXAMPLE
    assert all(test["passed"] for test in read["tests"])
    assert read["untested"] == []
    assert read["diff"][1].startswith("+# An organisation's own rules")
    listed = _get(api(cast, cast.operator), "")["results"]
    assert [(one["id"], one["name"]) for one in listed] == [(row["id"], "Acme model policy")]
    assert "document" not in listed[0]


def test_a_broken_document_is_a_problem_with_places(cast: Cast) -> None:
    broken = SMALL.replace("'true'", "use.comercial").replace("condition", "allow")
    problem = _post(api(cast, cast.legal), "", {"document": broken, "reason": "r"}, 400)

    assert problem["code"] == "policy_invalid"
    assert [one["place"] for one in problem["faults"]] == ["rules[0].then", "rules[0].when"]


def test_a_check_runs_the_tests_and_writes_nothing(cast: Cast) -> None:
    failing = SMALL + "tests: [{name: never, expect: {all: silent}}]\n"

    found = _post(api(cast, cast.security), "check/", {"document": failing}, 200)

    assert found["tests"] == [
        {"name": "never", "passed": False, "faults": ["all: fired, expected silent"]}
    ]
    assert found["untested"] == ["all"]
    assert _get(api(cast, cast.security), "")["results"] == []


def test_somebody_else_activates_and_the_first_retires(cast: Cast) -> None:
    row = _save(cast, SMALL)
    _get(api(cast, cast.legal), "active/", 404)

    own = _post(api(cast, cast.legal), f"{row['id']}/activate/", None, 403)
    active = _post(api(cast, cast.security), f"{row['id']}/activate/", None, 200)

    assert own["code"] == "separation_of_duties"
    assert (active["state"], active["activated_by"]) == ("active", "acme-sam")
    assert _get(api(cast, cast.operator), "active/")["id"] == row["id"]
    stale = _post(api(cast, cast.legal), f"{row['id']}/retire/", None, 412, HTTP_IF_MATCH='"1"')
    assert stale["code"] == "precondition_failed"
    retired = _post(api(cast, cast.legal), f"{row['id']}/retire/", None, 200, HTTP_IF_MATCH='"2"')
    assert (retired["state"], retired["retired_by"]) == ("retired", "acme-lena")


def test_failing_tests_are_a_conflict_that_names_them(cast: Cast) -> None:
    row = _save(cast, SMALL + "tests: [{name: never, expect: {all: silent}}]\n")

    problem = _post(api(cast, cast.security), f"{row['id']}/activate/", None, 409)

    assert problem["code"] == "policy_tests_fail"
    assert problem["tests"] == [{"name": "never", "faults": ["all: fired, expected silent"]}]


def test_a_dry_run_is_answered_or_queued_and_read_again(cast: Cast, monkeypatch: Any) -> None:
    assess(make_checkpoint(cast, "acme/model"), USE, actor="test")
    row = _save(cast, SMALL)
    client = api(cast, cast.legal)

    done = _post(client, f"{row['id']}/dry-run/")
    monkeypatch.setattr(policy_dry_runs, "AT_ONCE", 0)
    queued = _post(client, f"{row['id']}/dry-run/")

    assert (done["state"], done["result"]["changed"]) == ("done", 1)
    assert done["result"]["changes"][0]["raised"] == ["policy:all"]
    assert (queued["state"], queued["result"]) == ("queued", None)
    assert _get(client, f"dry-runs/{done['id']}/") == done


@pytest.mark.parametrize("path", ["", "check/"])
def test_who_only_deploys_writes_nothing(cast: Cast, path: str) -> None:
    body = {"document": SMALL, **({"reason": "r"} if not path else {})}

    assert _post(api(cast, cast.operator), path, body, 403)["code"] == "role_missing"


@pytest.mark.parametrize("act", ["activate/", "retire/", "dry-run/"])
def test_who_only_deploys_moves_nothing(cast: Cast, act: str) -> None:
    row = _save(cast, SMALL)

    assert _post(api(cast, cast.operator), f"{row['id']}/{act}", None, 403)


def test_another_organisations_policy_does_not_exist(cast: Cast) -> None:
    row = _save(cast, SMALL)
    run = _post(api(cast, cast.legal), f"{row['id']}/dry-run/")
    other = make_cast("other")
    stranger = api(other, other.legal)

    assert _get(stranger, "")["results"] == []
    _get(stranger, f"{row['id']}/", 404)
    _get(stranger, f"dry-runs/{run['id']}/", 404)
    for act in ("activate/", "retire/", "dry-run/"):
        _post(stranger, f"{row['id']}/{act}", None, 404)
