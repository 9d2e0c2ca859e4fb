"""Settings stop on a bad value instead of guessing."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.env import env_bool, env_int, env_list, env_secret


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False)])
def test_a_yes_or_no_is_read(monkeypatch, text, value):
    monkeypatch.setenv("X_FLAG", text)

    assert env_bool("X_FLAG", default=not value) is value


def test_a_doubtful_yes_or_no_stops_the_start(monkeypatch):
    monkeypatch.setenv("X_FLAG", "maybe")

    with pytest.raises(ImproperlyConfigured, match="X_FLAG='maybe'"):
        env_bool("X_FLAG", default=True)


def test_a_number_that_is_none_stops_the_start(monkeypatch):
    monkeypatch.setenv("X_NUMBER", "5s")

    with pytest.raises(ImproperlyConfigured, match="X_NUMBER"):
        env_int("X_NUMBER", 5)


def test_a_list_is_split_and_trimmed(monkeypatch):
    monkeypatch.setenv("X_LIST", "a, b,,")

    assert env_list("X_LIST", []) == ["a", "b"]


def test_a_secret_may_lie_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    monkeypatch.setenv("X_SECRET_FILE", str(tmp_path / "secret"))

    assert env_secret("X_SECRET", debug_default=None) == "hush"


def test_a_missing_secret_stops_the_start():
    with pytest.raises(ImproperlyConfigured, match="X_NOWHERE_FILE must be set"):
        env_secret("X_NOWHERE", debug_default=None)


def test_a_secret_file_that_is_not_there_stops_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("X_SECRET_FILE", str(tmp_path / "none"))

    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        env_secret("X_SECRET", debug_default="fallback")
