"""Check `lictor licence`: a file is checked offline, proposed, approved by another, retired."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compliance.models import LicenceRecord
from registry.cli import lictor
from registry.models import User
from registry.services import create_token
from tests.compliance.building import Cast, make_cast, make_checkpoint, make_person
from tests.compliance.test_organisation_licences import HOUSE

BAD = HOUSE.replace("status: read", "status: maybe").replace("section:", "chapter:")


def put(folder: Path, text: str = HOUSE) -> str:
    (folder / "house-1.yaml").write_text(text)
    return str(folder / "house-1.yaml")


@pytest.fixture
def cast(keys: Path, blobs: Path, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Cast:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("LICTOR_URL", live_server.url)
    return make_cast()


@pytest.fixture
def counsel(cast: Cast) -> User:
    return make_person(cast.organisation, "acme-lou", "legal_reviewer")


def run(cast: Cast, person: User, *arguments: str, code: int = 0) -> Result:
    _, secret = create_token(organisation=cast.organisation, owner=person, name="cli")
    done = CliRunner().invoke(lictor, ["licence", *arguments], env={"LICTOR_TOKEN": secret})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.output
    return done


def test_a_sound_file_passes_offline(tmp_path: Path) -> None:
    done = CliRunner().invoke(lictor, ["licence", "check", put(tmp_path)])

    assert (done.exit_code, done.stdout) == (0, "house-1.yaml: sound\n")


def test_a_bad_file_is_refused_offline_with_every_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(lictor, ["licence", "check", put(tmp_path, BAD)])

    said = str(done.exception)
    assert "house-1.yaml:8: status: must be one of" in said
    assert "house-1.yaml:15: clauses[0].chapter: unknown key" in said
    assert "house-1.yaml:13: clauses[0].section: is required" in said


def test_a_file_goes_from_proposal_to_force_and_back(
    cast: Cast, counsel: User, tmp_path: Path
) -> None:
    make_checkpoint(cast, "acme/model")
    row = json.loads(
        run(cast, cast.legal, "propose", put(tmp_path), "--reason", "read", "--json").stdout
    )
    assert "separation_of_duties" in run(cast, cast.legal, "approve", row["id"], code=2).stderr

    done = run(cast, counsel, "approve", row["id"], "--reason", "compared")

    assert "quote: {+You may not use the Model for money.+}" in done.stdout
    assert f"{row['id']}  house-1 version 1: active" in done.stdout
    listed = run(cast, cast.legal, "list", "--origin", "organisation").stdout
    assert listed.split()[:3] == ["house-1", "read", "organisation"]
    assert "counsel Lena Legal" in listed
    assert run(cast, cast.legal, "show", "house-1").stdout == HOUSE
    run(cast, cast.legal, "retire", "house-1", "--reason", "over")
    waiting = LicenceRecord.objects.get(state="proposed")
    run(cast, counsel, "refuse", str(waiting.pk), "--reason", "Keep it.")
    told = run(cast, cast.legal, "history", "house-1").stdout
    assert "house-1 version 2 (retire): refused" in told
    assert "acme-lena wrote it, acme-lou decided: read" in told


def test_a_bad_file_is_refused_by_the_server_with_its_faults(cast: Cast, tmp_path: Path) -> None:
    done = run(cast, cast.legal, "propose", put(tmp_path, BAD), "--reason", "read", code=2)

    assert "licence_invalid" in done.stderr
    assert "line 8, status: must be one of" in done.stderr
    assert LicenceRecord.objects.count() == 0
