"""Start the real stack once for a session: real processes, on the backend under test."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.stack.layout import Layout
from config.stack.supervisor import Stack
from demo.people import Cast, make_cast
from demo.steps.stage import Stage
from demo.use import FOLDERS

pytestmark = pytest.mark.flow


def _database() -> tuple[str, str | None]:
    """Return the URL for the stack, and the name of the database to drop after it."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        return "", None
    name = f"lictor_flow_{uuid.uuid4().hex[:8]}"
    admin = url.replace("postgres://", "postgresql://")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.rsplit("/", 1)[0] + f"/{name}", name


def _drop(name: str) -> None:
    admin = os.environ["DATABASE_URL"].replace("postgres://", "postgresql://")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    if not all((folder / "model.safetensors").is_file() for folder in FOLDERS.values()):
        pytest.fail("the demo checkpoints have no weights: run `make train`")
    var = Path(tmp_path_factory.mktemp("stack"))
    url, name = _database()
    yield Layout(var, url, os.environ.get("REDIS_URL", ""))
    if name:
        _drop(name)
    shutil.rmtree(var, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(layout: Layout) -> Iterator[Stack]:
    with Stack(layout) as running:
        yield running


@pytest.fixture
def cast(stack: Stack) -> Cast:
    return make_cast(stack)


@pytest.fixture
def stage(stack: Stack, cast: Cast, tmp_path: Path) -> Stage:
    return Stage(stack, cast, tmp_path)
