"""Stop the runtimes that the local target left running, when the whole host goes down."""

import json
from pathlib import Path

from config.stack.process import stop_by_pid


def stop_local_replicas(folder: Path) -> None:
    """Stop every runtime with a state file below `folder`; the reconciler starts them again."""
    for state_file in sorted(folder.glob("*/state.json")):
        try:
            pid = int(json.loads(state_file.read_text(encoding="utf-8"))["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if _is_runtime(pid):
            stop_by_pid(pid)


def _is_runtime(pid: int) -> bool:
    """Check that the process still is one of ours: a pid may have been given to another."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return not Path("/proc").exists()  # macOS has no /proc: trust the state file
    return b"inference" in command
