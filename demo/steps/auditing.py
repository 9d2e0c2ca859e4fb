"""Export the ledger, verify it offline, and show that one changed byte is found."""

import subprocess
import sys
from pathlib import Path

from demo.show import fact, must, step
from demo.steps.stage import Stage


def _verify(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "registry.cli", "ledger", "verify", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def audit(stage: Stage) -> None:
    step(10, "Export the ledger and verify it offline")
    export = stage.folder / "ledger.jsonl"
    stage.aki.download("ledger/export/", export)
    count = export.read_bytes().count(b"\n") - 1
    good = _verify(export)
    fact(good.stdout.strip().splitlines()[0] if good.stdout.strip() else good.stderr.strip())
    must(good.returncode == 0, f"{count} entries verify without the server")
    copy = stage.folder / "ledger-changed.jsonl"
    lines = export.read_bytes().splitlines(keepends=True)
    target = next(n for n, line in enumerate(lines) if b"matter.filed" in line)
    changed = lines[target].replace(b"patent", b"patemt", 1)
    must(changed != lines[target], f"one byte changed in a copy (line {target + 1})")
    copy.write_bytes(b"".join([*lines[:target], changed, *lines[target + 1 :]]))
    bad = _verify(copy)
    said = (bad.stdout + bad.stderr).strip()
    fact(said.splitlines()[0] if said else "")
    must(bad.returncode != 0, "verification of the copy fails")
    must(f"{target}" in said, f"and names entry {target}")
