"""Give each test a Hub of its own, a cache of its own, and no way to the real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.hub.fake_hub import FakeHub, serving


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub()) as running:
        yield running


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LICTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
