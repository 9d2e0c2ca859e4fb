"""Stand for a place that runs replicas, at our own protocol: processes are entries of a dict."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from deployer.models import Replica
from deployer.targets.base import Observed, TargetError


class FakeTarget:
    """Run replicas in memory; a test says how they fare and what happens while they start."""

    def __init__(self) -> None:
        self.running: dict[UUID, str] = {}
        self.most_at_once = 0
        self.started: list[UUID] = []
        self.ready = True
        self.error: TargetError | None = None
        self.after_start: Callable[[Replica], None] = lambda replica: None
        self.before_stop: Callable[[Replica], None] = lambda replica: None

    def start(self, replica: Replica) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        if replica.pk not in self.running:
            self.running[replica.pk] = f"http://127.0.0.1:{9000 + len(self.started)}"
            self.started.append(replica.pk)
            self.most_at_once = max(self.most_at_once, len(self.running))
        self.after_start(replica)
        return {"name": str(replica.pk)}

    def observe(self, replica: Replica) -> Observed:
        url = self.running.get(replica.pk)
        if url is None:
            return Observed(alive=False, reason="the process ended: killed")
        return Observed(alive=True, ready=self.ready, url=url)

    def stop(self, replica: Replica) -> None:
        self.before_stop(replica)
        self.running.pop(replica.pk, None)
