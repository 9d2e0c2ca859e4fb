"""Check that a replica is one process of this host, found again whoever forgot its pid."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from deployer.models import Endpoint, Replica
from deployer.targets.base import Observed, TargetError
from deployer.targets.local import LocalTarget
from deployer.tokens import is_replica_token, replica_token
from registry import launch, storage
from registry.artifact.manifest import manifest_of
from registry.services import register_checkpoint
from tests.build import Cast, make_cast, make_endpoint, small_files, store_files

pytestmark = pytest.mark.django_db

# Stands where `python -m inference` would be found: listens, and is ready when a file says so.
TINY = """
import http.server, json, os, sys
def after(name):
    return sys.argv[sys.argv.index(name) + 1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists(after("--state-file") + ".ready") else 503)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
state = {"port": server.server_port, "pid": os.getpid(), "args": sys.argv}
with open(after("--state-file") + ".part", "w") as file:
    json.dump(state, file)
os.replace(after("--state-file") + ".part", after("--state-file"))
if os.path.exists("fall-over"):
    sys.exit("out of memory: it fell over")
server.serve_forever()
"""


@pytest.fixture
def base(tmp_path: Path, settings: Any, blobs: Path, keys: Path) -> Path:
    package = tmp_path / "base" / "inference"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(TINY)
    settings.BASE_DIR = tmp_path / "base"
    settings.LICTOR_VAR = tmp_path / "var"
    return tmp_path / "base"


@pytest.fixture
def replica(base: Path) -> Iterator[Replica]:
    cast: Cast = make_cast()
    checkpoint, _ = register_checkpoint(
        organisation=cast.organisation,
        actor=cast.submitter,
        name="acme/model",
        kind="weights",
        manifest=store_files(cast.organisation, small_files()),
    )
    endpoint: Endpoint = make_endpoint(cast, checkpoint)
    row = Replica.objects.create(
        organisation=cast.organisation,
        endpoint=endpoint,
        checkpoint=checkpoint,
        generation=1,
        started_at=timezone.now(),
    )
    yield row
    LocalTarget().stop(row)


def folder(replica: Replica, settings: Any) -> Path:
    return Path(settings.LICTOR_VAR) / "replicas" / str(replica.pk)


def until(look: Callable[[], Observed], good: Callable[[Observed], bool]) -> Observed:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if good(seen := look()):
            return seen
        time.sleep(0.02)
    raise AssertionError(f"it did not come to pass: {seen}")


def test_a_replica_starts_from_the_verified_files_and_is_seen_to_be_ready(
    replica: Replica, settings: Any
) -> None:
    target = LocalTarget()
    replica.handle = target.start(replica)

    seen = until(lambda: target.observe(replica), lambda seen: bool(seen.url))
    assert (seen.alive, seen.ready) == (True, False)
    home = folder(replica, settings)
    (home / "state.json.ready").touch()
    assert target.observe(replica).ready

    assert manifest_of(home / "model").digest == replica.checkpoint.digest
    state = launch.runtime_state(home / "state.json")
    assert state is not None
    given = state["args"]
    assert given[given.index("--expect-digest") + 1] == replica.checkpoint.digest
    assert given[given.index("--replica") + 1] == str(replica.pk)
    token = home / "token"
    assert token.stat().st_mode & 0o077 == 0
    assert is_replica_token(str(replica.pk), token.read_text())
    assert token.read_text() not in given, "a token in the arguments would show in `ps`"


def test_starting_twice_leaves_one_process(replica: Replica) -> None:
    target = LocalTarget()
    replica.handle = target.start(replica)

    assert target.start(replica) == replica.handle


def test_a_replica_whose_pid_was_never_noted_is_found_again(replica: Replica) -> None:
    target = LocalTarget()
    handle = target.start(replica)
    running = launch.Running(**handle)
    assert replica.handle == {}

    assert target.start(replica) == handle, "a second start finds the first"
    target.stop(replica)

    assert not launch.is_alive(running)


def test_stopping_ends_the_process_and_removes_what_it_was_given(
    replica: Replica, settings: Any
) -> None:
    target = LocalTarget()
    replica.handle = target.start(replica)
    running = launch.Running(**replica.handle)
    until(lambda: target.observe(replica), lambda seen: bool(seen.url))

    target.stop(replica)
    target.stop(replica)

    assert not launch.is_alive(running)
    left = {path.name for path in folder(replica, settings).iterdir()}
    assert not left & {"model", "token", "state.json"}
    for entry in replica.checkpoint.manifest["files"]:
        assert storage.blob_path(entry["sha256"]).exists(), "the store must keep its files"


def test_a_process_that_fell_over_says_why(replica: Replica, base: Path) -> None:
    (base / "fall-over").touch()
    target = LocalTarget()
    replica.handle = target.start(replica)

    seen = until(lambda: target.observe(replica), lambda seen: not seen.alive)

    assert seen.reason == "the process ended: out of memory: it fell over"


def test_a_replica_that_was_never_started_is_not_alive(replica: Replica) -> None:
    assert LocalTarget().observe(replica) == Observed(
        alive=False, reason="the process never started"
    )


def test_a_lost_file_is_a_target_error(replica: Replica) -> None:
    storage.blob_path(replica.checkpoint.manifest["files"][0]["sha256"]).unlink()

    with pytest.raises(TargetError, match="lost"):
        LocalTarget().start(replica)


def test_a_token_is_one_replicas_and_this_installations(settings: Any) -> None:
    token = replica_token("a")

    assert is_replica_token("a", token)
    assert not is_replica_token("b", token)
    assert not is_replica_token("a", "")
    settings.SECRET_KEY = "another installation"
    assert not is_replica_token("a", token)
