"""Say where one host's state lies, and make its secrets once.

Knows paths and environment names; starts nothing.
"""

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.env import env_str

ROOT = Path(__file__).resolve().parent.parent.parent
# A unix socket's path must fit in 108 bytes on Linux and 104 on macOS.
_SOCKET_PATH_LIMIT = 100


@dataclass(frozen=True)
class Layout:
    """Name the folders of one installation; `database_url` empty means the embedded SQLite."""

    var: Path
    database_url: str
    redis_url: str

    @classmethod
    def from_environment(cls) -> "Layout":
        var = Path(env_str("LICTOR_VAR", str(ROOT / "var"))).resolve()
        return cls(var, env_str("DATABASE_URL", ""), env_str("REDIS_URL", ""))

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def run(self) -> Path:
        return self.var / "run"

    @property
    def keys(self) -> Path:
        return self.var / "keys"

    @property
    def replicas(self) -> Path:
        return self.var / "replicas"

    @property
    def broker_folder(self) -> Path:
        return self.var / "broker"

    def broker_socket(self) -> Path:
        """Return a socket path short enough for the operating system."""
        path = self.run / "broker.sock"
        if len(str(path)) <= _SOCKET_PATH_LIMIT:
            return path
        return Path(tempfile.gettempdir()) / f"lictor-{os.getpid()}.sock"

    def make(self) -> None:
        for folder in (self.var, self.logs, self.run, self.keys, self.replicas, self.broker_folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.keys.chmod(0o700)
        for name in ("secret-key", "gateway-token"):
            path = self.keys / name
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_urlsafe(48), encoding="utf-8")
