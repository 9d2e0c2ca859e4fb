"""Check that weights are verified while they stream, and what every cut leaves behind."""

import errno
import hashlib
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import httpx2
import pytest

from registry.artifact.manifest import manifest_of
from registry.hub import intake
from registry.hub.facts import Commit, HubFile
from registry.hub.intake import Hub
from registry.hub.refusals import HubRefusal
from registry.hub.weights import PARTS, choose, download
from tests.build import safetensors
from tests.registry.hub.fake_hub import FakeHub, Fault
from tests.registry.hub.shapes import small

WEIGHTS = safetensors(300_000)
CUT = 500_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


@pytest.fixture
def big(hub: FakeHub) -> FakeHub:
    hub.add("org/model", small() | {"model.safetensors": WEIGHTS})
    return hub


def fetch(hub: FakeHub, folder: Path, **more: Any) -> Any:
    client = Hub(endpoint=hub.url, token="hf_mine", sleep=lambda _: None)
    commit = client.read("org/model").commit
    return download(client, commit, choose(commit).taken, folder, **more)


def parts(folder: Path) -> list[Path]:
    return list(folder.with_name(folder.name + PARTS).glob("*"))


def asked_for_weights(hub: FakeHub) -> list[dict[str, str]]:
    return [headers for path, headers in hub.asked if path.startswith("/cdn/")]


def test_what_arrives_is_the_manifest_of_the_folder(big: FakeHub, folder: Path) -> None:
    entries = fetch(big, folder)

    assert tuple(sorted(entries)) == manifest_of(folder).files
    assert parts(folder) == []


def test_progress_ends_at_the_total(big: FakeHub, folder: Path) -> None:
    told: list[tuple[int, int]] = []

    fetch(big, folder, progress=lambda done, total, _path: told.append((done, total)))

    total = sum(map(len, (small() | {"model.safetensors": WEIGHTS}).values()))
    assert told[-1] == (total, total)


def test_a_cut_is_continued_from_where_it_was(big: FakeHub, folder: Path) -> None:
    big.faults["/cdn/"] = Fault(times=1, cut_after=CUT)

    fetch(big, folder)

    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [headers.get("Range") for headers in asked_for_weights(big)]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert ranges[1].startswith("bytes=")


def test_a_later_run_continues_what_an_earlier_one_left(big: FakeHub, folder: Path) -> None:
    # One answer is cut, and every later one brings nothing at all.
    silent = Fault(times=99, cut_after=0)
    big.faults = {"/cdn/": Fault(times=1, cut_after=CUT), "/cdn": silent}

    with pytest.raises(HubRefusal) as refused:
        fetch(big, folder)

    assert refused.value.is_transient
    assert not (folder / "model.safetensors").exists()
    (part,) = parts(folder)
    held = part.stat().st_size
    assert 0 < held <= CUT
    big.faults, big.asked[:] = {}, []
    fetch(big, folder)
    assert asked_for_weights(big)[0]["Range"] == f"bytes={held}-"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_part_that_was_altered_meanwhile_is_found_out(big: FakeHub, folder: Path) -> None:
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    place = folder.with_name(folder.name + PARTS) / sha256
    place.parent.mkdir(parents=True)
    place.write_bytes(b"\0" * CUT)

    with pytest.raises(HubRefusal, match="was not kept"):
        fetch(big, folder)

    assert parts(folder) == []
    assert not (folder / "model.safetensors").exists()
    fetch(big, folder)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_wrong_bytes_of_the_right_length_leave_nothing(big: FakeHub, folder: Path) -> None:
    big.faults["/cdn/"] = Fault(times=9, data=WEIGHTS[:-1] + b"x")

    with pytest.raises(HubRefusal, match="not as listed") as refused:
        fetch(big, folder)

    assert refused.value.reason == "bad_answer"
    assert not (folder / "model.safetensors").exists()
    assert parts(folder) == []


def test_more_bytes_than_listed_are_refused(big: FakeHub, folder: Path) -> None:
    big.faults["/cdn/"] = Fault(times=9, data=WEIGHTS + b"x")

    with pytest.raises(HubRefusal, match="longer than the Hub says"):
        fetch(big, folder)

    assert not (folder / "model.safetensors").exists()


def test_a_server_without_ranges_starts_again(big: FakeHub, folder: Path) -> None:
    big.honours_ranges = False
    big.faults["/cdn/"] = Fault(times=1, cut_after=CUT)

    fetch(big, folder)

    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_what_is_there_and_right_is_not_fetched_again(big: FakeHub, folder: Path) -> None:
    fetch(big, folder)
    big.asked.clear()

    fetch(big, folder)

    assert asked_for_weights(big) == []


def test_what_is_there_and_wrong_is_fetched_again(big: FakeHub, folder: Path) -> None:
    fetch(big, folder)
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"x")

    fetch(big, folder)

    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    big: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1))

    with pytest.raises(HubRefusal) as refused:
        fetch(big, folder)

    assert refused.value.reason == "disk"
    assert asked_for_weights(big) == []


def test_a_disk_that_fills_up_leaves_no_file_under_its_name(
    big: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = httpx2.Response.iter_raw

    def full(self: Any, size: int | None = None) -> Any:
        for chunk in read(self, size):
            yield chunk[:1000]
            if "/cdn/" in str(self.url):
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(httpx2.Response, "iter_raw", full)

    client = Hub(endpoint=big.url, sleep=lambda _: None)
    monkeypatch.setattr(intake, "ASK_SECONDS", 5)
    commit = Commit("org/model", big.repos["org/model"][0].sha, (_weights(big),))
    with pytest.raises(HubRefusal) as refused:
        download(client, commit, commit.files, folder)

    assert refused.value.reason == "disk"
    assert not (folder / "model.safetensors").exists()


def _weights(hub: FakeHub) -> HubFile:
    listed = hub.repos["org/model"][0].sibling("model.safetensors", full=True)
    return HubFile("model.safetensors", listed["size"], None, listed["lfs"]["sha256"])


def test_a_hub_that_falls_silent_is_given_up(
    big: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ASK_SECONDS", 0.2)
    commit = Commit("org/model", big.repos["org/model"][0].sha, (_weights(big),))
    big.faults["/cdn/"] = Fault(times=99, pause=0.6)

    with pytest.raises(HubRefusal) as refused:
        download(Hub(endpoint=big.url, sleep=None), commit, commit.files, folder)

    assert refused.value.reason == "unreachable"


def test_the_token_is_not_sent_to_another_host(big: FakeHub, folder: Path) -> None:
    from tests.registry.hub.fake_hub import serving

    with serving(FakeHub()) as other:
        other.repos = big.repos
        location = f"{other.url}/cdn/org/model@{big.repos['org/model'][0].sha}/model.safetensors"
        big.faults["resolve/" + big.repos["org/model"][0].sha + "/model.safetensors"] = Fault(
            times=9, status=302, headers={"Location": location}
        )
        fetch(big, folder)
        (headers,) = asked_for_weights(other)

    assert "Authorization" not in headers
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_pickle_and_code_are_left_out_by_reason(hub: FakeHub) -> None:
    hub.add("org/model", small() | {"old.bin": b"\x80\x02", "x.py": b"", "a.gguf": b"GGUF"})
    commit = Hub(endpoint=hub.url).read("org/model").commit

    chosen = choose(commit)

    assert {one["path"] for one in chosen.left_out} == {"old.bin", "x.py", "a.gguf"}
    assert "model.safetensors" in {one.path for one in chosen.taken}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../model.safetensors", "lead out"),
        ("a b.safetensors", "only the letters"),
        ("Model.safetensors", "upper and lower case"),
    ],
)
def test_weights_under_a_hostile_name_are_refused_whole(hub: FakeHub, path: str, says: str) -> None:
    hub.add("org/model", small() | {path: safetensors(4)})
    commit = Hub(endpoint=hub.url).read("org/model").commit

    with pytest.raises(HubRefusal, match=says):
        choose(commit)


def test_weights_without_a_hash_are_refused(hub: FakeHub) -> None:
    hub.add("org/model", small(), listed={"model.safetensors": {"lfs": None, "blobId": None}})
    commit = Hub(endpoint=hub.url).read("org/model").commit

    with pytest.raises(HubRefusal, match="no hash"):
        choose(commit)
