"""Import through olah, a mirror that others wrote, standing before the described Hub."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from registry.hub.intake import Hub
from registry.hub.lineage import read_lineage
from registry.hub.refusals import HubRefusal
from registry.hub.weights import choose, download
from tests.registry.hub.fake_hub import FakeHub
from tests.registry.hub.shapes import BASE, NEMOTRON, add_nemotron, small

ROOT = Path(__file__).resolve().parents[3]
OLAH = ROOT / ".venv-olah" / "bin" / "olah-cli"

pytestmark = pytest.mark.skipif(
    not OLAH.exists(), reason="NOT CHECKED: no olah; scripts/olah.sh installs it"
)


@pytest.fixture
def mirror(hub: FakeHub, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    behind = urlsplit(hub.url).netloc
    command = [
        *(str(OLAH), "--host", "127.0.0.1", "--port", str(port)),
        *("--hf-scheme", "http", "--hf-netloc", behind, "--hf-lfs-netloc", behind),
        *("--mirror-scheme", "http", "--mirror-netloc", f"127.0.0.1:{port}"),
        *("--mirror-lfs-netloc", f"127.0.0.1:{port}", "--metadata-cache-ttl", "0"),
        *("--repos-path", str(tmp_path / "repos"), "--log-path", str(tmp_path / "logs")),
    ]
    with (tmp_path / "olah.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
        try:
            _wait(process, f"http://127.0.0.1:{port}/", tmp_path / "olah.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            urlopen(url, timeout=2).close()
        except HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"olah did not answer: {log.read_text()[-2000:]}")


def test_a_mirror_gives_the_same_card_and_lineage_as_the_hub(hub: FakeHub, mirror: str) -> None:
    add_nemotron(hub)

    direct = read_lineage(Hub(endpoint=hub.url), NEMOTRON, depth=4)
    mirrored = read_lineage(Hub(endpoint=mirror), NEMOTRON, depth=4)

    assert [one.commit.repo for one in mirrored] == [BASE, NEMOTRON]
    for ours, theirs in zip(direct, mirrored, strict=True):
        assert theirs.commit.sha == ours.commit.sha
        assert [one.path for one in theirs.commit.files] == [one.path for one in ours.commit.files]
        assert theirs.seen["card"] == ours.seen["card"]
        assert {one["id"] for one in theirs.parents} == {one["id"] for one in ours.parents}


def test_hashes_that_a_mirror_withholds_are_unknown_and_no_weights_come(
    hub: FakeHub, mirror: str, tmp_path: Path
) -> None:
    """olah 0.5.4 passes no query on, so that it lists files without sizes and hashes."""
    hub.add("org/model", small())
    client = Hub(endpoint=mirror)

    reading = client.read("org/model")

    file = reading.commit.file("model.safetensors")
    assert file is not None
    assert (file.size, file.sha256) == (None, None)
    assert reading.texts == {}
    assert {"README.md", "LICENSE"} <= {one["path"] for one in reading.seen["left_out"]}
    with pytest.raises(HubRefusal, match="no hash"):
        download(client, reading.commit, choose(reading.commit).taken, tmp_path / "model")
    assert not (tmp_path / "model").exists()
