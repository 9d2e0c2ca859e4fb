"""Say what a place that runs replicas can do; `deployer.targets.kinds` lists the kinds."""

from dataclasses import dataclass
from typing import Any, Protocol

from deployer.models import Replica


class TargetError(Exception):
    """Say why a target failed, and whether trying again can help."""

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


@dataclass(frozen=True)
class Observed:
    """Say how one replica's process is; `url` is where it listens once it does."""

    alive: bool
    ready: bool = False
    url: str = ""
    reason: str = ""


class TargetKind(Protocol):
    """Run replicas somewhere. Every method may be called again after a crash.

    Laws: `start` twice for one replica leaves one process; `stop` of what is gone is no error.
    """

    def start(self, replica: Replica) -> dict[str, Any]:
        """Start the replica's process and return a handle to find it by. Raises: TargetError."""

    def observe(self, replica: Replica) -> Observed:
        """Look at the replica's process."""

    def stop(self, replica: Replica) -> None:
        """End the process and remove what it left."""
