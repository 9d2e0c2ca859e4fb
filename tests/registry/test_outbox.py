"""Check that notices are kept with their change and handed over at least once, in order."""

from collections import defaultdict
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from registry import outbox
from registry.models import OutboxEvent
from registry.signals import CHECKPOINT_REGISTERED, STANDING_CHANGED

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_followers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the application's own handlers and hint away."""
    monkeypatch.setattr(outbox, "_handlers", defaultdict(list))
    monkeypatch.setattr(outbox, "_hint", [])


def publish(*keys: str, topic: str = CHECKPOINT_REGISTERED) -> None:
    with transaction.atomic():
        for key in keys:
            outbox.publish(topic, key)


def waiting() -> list[str]:
    rows = OutboxEvent.objects.filter(dispatched_at=None).order_by("id")
    return list(rows.values_list("key", flat=True))


def test_notices_are_handed_over_once_in_the_order_of_writing() -> None:
    got: list[str] = []
    outbox.register(CHECKPOINT_REGISTERED, got.append)
    publish("1", "2", "3")

    assert outbox.relay() == 3
    assert outbox.relay() == 0
    assert got == ["1", "2", "3"]


def test_a_handler_hears_its_own_topic_only() -> None:
    got: list[str] = []
    outbox.register(STANDING_CHANGED, got.append)
    publish("1")
    publish("2", topic=STANDING_CHANGED)

    outbox.relay()

    assert got == ["2"]
    assert waiting() == []


def test_a_handler_registered_twice_is_called_once() -> None:
    got: list[str] = []
    for _ in range(2):
        outbox.register(CHECKPOINT_REGISTERED, got.append)
    publish("1")

    outbox.relay()

    assert got == ["1"]


@pytest.mark.django_db(transaction=True)
def test_a_notice_of_a_change_that_failed_is_never_sent() -> None:
    def fail() -> None:
        with transaction.atomic():
            outbox.publish(CHECKPOINT_REGISTERED, "1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert waiting() == []


@pytest.mark.django_db(transaction=True)
def test_a_notice_outside_a_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        outbox.publish(CHECKPOINT_REGISTERED, "1")


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown topic"):
        publish("1", topic="chekpoint_registered")
    with pytest.raises(ValueError, match="unknown topic"):
        outbox.register("chekpoint_registered", print)


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_down_fails_no_change_and_loses_no_notice() -> None:
    got: list[str] = []
    asked: list[str] = []

    def down() -> None:
        asked.append("hint")
        raise ConnectionError("no broker")

    outbox.register(CHECKPOINT_REGISTERED, got.append)
    outbox.set_hint(down)
    publish("1")

    assert asked == ["hint"]
    assert waiting() == ["1"]
    outbox.relay()
    assert got == ["1"]


@pytest.mark.django_db(transaction=True)
def test_the_hint_is_sent_after_the_commit_only() -> None:
    seen: list[bool] = []
    outbox.set_hint(lambda: seen.append(transaction.get_connection().in_atomic_block))
    with transaction.atomic():
        outbox.publish(CHECKPOINT_REGISTERED, "1")
        assert seen == []

    assert seen == [False]


def test_a_failing_handler_is_tried_again_and_holds_up_nobody() -> None:
    got: list[str] = []
    broken = {"1"}

    def handler(key: str) -> None:
        if key in broken:
            raise RuntimeError("not now")
        got.append(key)

    outbox.register(CHECKPOINT_REGISTERED, handler)
    publish("1", "2")
    now = timezone.now()

    assert outbox.relay(now=now) == 1
    assert (got, waiting()) == (["2"], ["1"])
    broken.clear()
    assert outbox.relay(now=now + timedelta(seconds=1)) == 0, "it waits before it tries again"
    assert outbox.relay(now=now + timedelta(seconds=6)) == 1
    assert (got, waiting()) == (["2", "1"], [])


def test_many_failing_notices_do_not_shut_out_a_later_one() -> None:
    got: list[str] = []

    def handler(key: str) -> None:
        if key.startswith("bad"):
            raise RuntimeError("never")
        got.append(key)

    outbox.register(CHECKPOINT_REGISTERED, handler)
    publish(*[f"bad-{number}" for number in range(120)], "good")

    outbox.relay()

    assert got == ["good"]
    assert len(waiting()) == 120


def test_a_notice_interrupted_between_handler_and_mark_is_handed_over_again() -> None:
    got: list[str] = []

    def dies_once(key: str) -> None:
        got.append(key)
        if len(got) == 1:
            raise KeyboardInterrupt

    outbox.register(CHECKPOINT_REGISTERED, dies_once)
    publish("1")

    with pytest.raises(KeyboardInterrupt):
        outbox.relay()
    outbox.relay()

    assert got == ["1", "1"]
    assert waiting() == []
