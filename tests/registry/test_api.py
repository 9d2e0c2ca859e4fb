"""Walk the registry's REST as a client does: send files, register, read, plan, export."""

import io
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from registry.keys import private_key
from registry.ledger.export import verify_export
from registry.models import Checkpoint
from tests.build import (
    Cast,
    client_of,
    make_cast,
    make_manifest,
    make_person,
    small_files,
    store_files,
)

pytestmark = pytest.mark.django_db
API = "/api/v1"
CONFIG = Path("demo/metadata/nvidia-nemotron-nano-9b-v2/config.json")


@pytest.fixture(autouse=True)
def _store(blobs: Path, keys: Path) -> None:
    pass


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def client(cast: Cast) -> APIClient:
    return client_of(cast.organisation, cast.submitter)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    return body


def order(files: dict[str, bytes], **fields: Any) -> dict[str, Any]:
    manifest = make_manifest(files).to_json()
    return {"name": "acme/model", "kind": "weights", "manifest": manifest, **fields}


def register(client: APIClient, cast: Cast, files: dict[str, bytes], **fields: Any) -> Any:
    store_files(cast.organisation, files)
    answer = client.post(f"{API}/checkpoints/", order(files, **fields))
    assert answer.status_code == 201, answer.content
    return answer.json()


def send(client: APIClient, sha256: str, data: bytes) -> Any:
    return client.put(f"{API}/blobs/{sha256}/", data, content_type="application/octet-stream")


def test_files_are_sent_as_missing_and_then_registered(client: APIClient) -> None:
    files = small_files()
    by_digest = {entry.sha256: files[entry.path] for entry in make_manifest(files).files}
    refused = problem(client.post(f"{API}/checkpoints/", order(files)), 422, "missing_blobs")
    assert refused["missing"] == sorted(by_digest)

    asked = client.post(f"{API}/blobs/missing/", {"sha256": list(by_digest)})
    assert asked.json() == {"missing": sorted(by_digest)}
    for sha256, data in by_digest.items():
        assert send(client, sha256, data).status_code == 201
        assert send(client, sha256, data).status_code == 200
    made = client.post(f"{API}/checkpoints/", order(files))
    again = client.post(f"{API}/checkpoints/", order(files))

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json()
    assert made.json()["digest"] == make_manifest(files).digest
    assert made.json()["submitted_by"] == "acme-erin"
    assert Checkpoint.objects.count() == 1


def test_bytes_with_another_digest_are_a_problem(client: APIClient, blobs: Path) -> None:
    problem(send(client, "0" * 64, b"something else"), 400, "blob_mismatch")
    problem(send(client, "not-a-digest", b"x"), 400, "bad_digest")

    assert [path for path in blobs.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"name": "no-slash"}, 400, "invalid"),
        ({"kind": "other"}, 400, "invalid"),
        ({"parents": [{"name": "a/b", "relation": "cousin"}]}, 400, "invalid"),
        ({"surprise": 1}, 400, "invalid"),
        ({"manifest": {"schema": "lictor.manifest/1", "files": "none"}}, 400, None),
        (
            {
                "manifest": {
                    "schema": "lictor.manifest/1",
                    "files": [{"path": "../up", "size": 1, "sha256": "0" * 64}],
                }
            },
            400,
            None,
        ),
    ],
)
def test_a_body_that_makes_no_sense_is_a_problem(
    client: APIClient, fields: dict[str, Any], status: int, code: str | None
) -> None:
    answer = client.post(f"{API}/checkpoints/", {**order(small_files()), **fields})

    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert code is None or answer.json()["code"] == code
    assert not Checkpoint.objects.exists()


def test_a_checkpoint_is_listed_and_read(client: APIClient, cast: Cast) -> None:
    made = register(client, cast, small_files(salt=1))
    other = register(client, cast, small_files(salt=2), name="acme/other")

    listed = client.get(f"{API}/checkpoints/").json()["results"]
    named = client.get(f"{API}/checkpoints/", {"name": "acme/model"}).json()["results"]

    assert [one["id"] for one in listed] == [other["id"], made["id"]]
    assert [one["id"] for one in named] == [made["id"]]
    assert client.get(f"{API}/checkpoints/{made['id']}/").json() == made
    models = client.get(f"{API}/models/").json()["results"]
    assert {one["name"] for one in models} == {"acme/model", "acme/other"}


def test_lists_come_in_pages_that_hold_each_row_once(client: APIClient, cast: Cast) -> None:
    made = [register(client, cast, small_files(salt=number))["id"] for number in range(5)]

    seen, url = [], f"{API}/checkpoints/?page_size=2"
    while url:
        page = client.get(url).json()
        assert len(page["results"]) <= 2
        seen += [one["id"] for one in page["results"]]
        url = page["next"]

    assert seen == made[::-1]


def test_lineage_shows_the_family_and_who_is_not_registered(client: APIClient, cast: Cast) -> None:
    base = register(
        client,
        cast,
        small_files(salt=1),
        name="acme/base",
        parents=[{"name": "far/away", "relation": "distilled"}],
    )
    child = register(
        client,
        cast,
        small_files(salt=2),
        parents=[{"name": "acme/base", "relation": "finetune", "digest": base["digest"]}],
    )

    for one in (base, child):
        shown = client.get(f"{API}/lineage/{one['id']}/").json()
        assert {node["name"] for node in shown["nodes"]} == {"acme/base", "acme/model"}
        assert {
            (edge["child"], edge["parent"], edge["parent_name"], edge["relation"])
            for edge in shown["edges"]
        } == {
            (child["id"], base["id"], "acme/base", "finetune"),
            (base["id"], None, "far/away", "distilled"),
        }


def test_a_memory_plan_is_made_and_bad_questions_are_problems(
    client: APIClient, cast: Cast
) -> None:
    files = {"config.json": CONFIG.read_bytes(), "README.md": b"# x\n"}
    made = register(client, cast, files, kind="metadata")
    path = f"{API}/checkpoints/{made['id']}/memory-plan/"

    plan = client.get(path, {"gpu": "h100-80gb", "batch": "2"}).json()

    assert made["parameters"] == plan["parameters"] == 8_888_227_328
    assert plan["fits"] is True
    for query in ({"gpu": "abacus"}, {"batch": "two"}, {"batch": "0"}, {"dtype": "x"}):
        answer = client.get(path, query)
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")


def test_the_export_verifies_and_one_flipped_byte_does_not(client: APIClient, cast: Cast) -> None:
    register(client, cast, small_files())
    auditor = client_of(cast.organisation, make_person(cast.organisation, "audit", "auditor"))

    answer = auditor.get(f"{API}/ledger/export/")
    data = b"".join(answer.streaming_content)

    key = private_key("ledger").public_key()
    report = verify_export(io.BytesIO(data), key)
    assert (answer["Content-Type"], report.problems) == ("application/jsonl", ())
    listed = auditor.get(f"{API}/ledger/").json()["results"]
    assert [one["seq"] for one in listed] == list(range(report.count, 0, -1))
    place = data.index(b"checkpoint.registered")
    flipped = data[:place] + b"C" + data[place + 1 :]
    assert not verify_export(io.BytesIO(flipped), key).is_intact


def test_a_wrong_or_absent_token_is_a_problem(db: None) -> None:
    client = APIClient()
    problem(client.get(f"{API}/checkpoints/"), 401, "not_authenticated")
    for header in ("Bearer lct_wrong", "Bearer \xff", "Bearer", "Basic eDp5"):
        client.credentials(HTTP_AUTHORIZATION=header)
        assert client.get(f"{API}/checkpoints/").status_code == 401, header


def test_an_object_that_is_not_there_is_not_found(client: APIClient) -> None:
    for path in ("checkpoints", "lineage"):
        problem(client.get(f"{API}/{path}/{uuid4()}/"), 404, "not_found")


def test_the_schema_is_made_without_a_warning(tmp_path: Path) -> None:
    made = tmp_path / "schema.yaml"

    call_command("spectacular", "--file", str(made), "--fail-on-warn", "--validate")

    assert "/api/v1/endpoints/{id}/stop/" in made.read_text()
