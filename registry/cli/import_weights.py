"""Fetch an import's weights into a folder, and say what of the commit is in it."""

import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.artifact.card import CONFIG_FILES
from registry.artifact.manifest import FileEntry, Manifest
from registry.hub.folder import text_faults
from registry.hub.intake import Hub, Reading
from registry.hub.refusals import HubRefusal
from registry.hub.weights import choose, download
from registry.hub.wire import without_remote_code

_REMOTE = "remote_code_refused"


@dataclass
class Fetched:
    """Hold the manifest of a folder; `originals` are configurations as the Hub has them."""

    manifest: Manifest
    left_out: list[dict[str, str]]
    originals: dict[str, str] = field(default_factory=dict)
    originals_data: list[bytes] = field(default_factory=list)


def fetch(hub: Hub, reading: Reading, folder: Path, *, drop_remote_code: bool) -> Fetched:
    """Fetch and verify; what the registry would refuse is told before the weights are fetched.

    Raises: HubRefusal.
    """
    chosen = choose(reading.commit)
    stripped = _stripped(reading, drop_remote_code=drop_remote_code)
    wanted = [one for one in chosen.taken if one.path not in stripped]
    entries = download(hub, reading.commit, wanted, folder, progress=_progress())
    originals = {}
    for path, data in stripped.items():
        (folder / path).write_bytes(data)
        entries.append(FileEntry(path, len(data), hashlib.sha256(data).hexdigest()))
        originals[path] = hashlib.sha256(reading.texts[path]).hexdigest()
    return Fetched(
        manifest=Manifest(tuple(entries)),
        left_out=list(chosen.left_out),
        originals=originals,
        originals_data=[reading.texts[path] for path in originals],
    )


def _stripped(reading: Reading, *, drop_remote_code: bool) -> dict[str, bytes]:
    """Give each configuration that asks for remote code without it.

    Raises: HubRefusal listing every text that the registry would refuse.
    """
    made: dict[str, bytes] = {}
    faults = []
    for path, data in sorted(reading.texts.items()):
        found: Any = text_faults(path, data)
        remote = found and all(one.code == _REMOTE for one in found)
        if remote and drop_remote_code and path in CONFIG_FILES:
            made[path] = without_remote_code(data, place=path)
            found = text_faults(path, made[path])
        faults += found
    if faults:
        hint = "" if drop_remote_code else " --drop-remote-code takes out what asks for its code."
        listed = " ".join(map(str, faults))
        raise HubRefusal("bad_answer", f"It cannot be registered with weights: {listed}{hint}")
    return made


def _progress() -> Any:
    """Show bytes, speed and time left on stderr, where a person looks."""
    if not sys.stderr.isatty():
        return lambda _done, _total, _path: None
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task("fetching", total=None)
    bar.start()

    def show(done: int, total: int, path: str) -> None:
        bar.update(task, completed=done, total=total, description=path[-40:].replace("[", "("))
        if done >= total:
            bar.stop()

    return show
