"""Keep what was read of a Hub, and read it again without a network.

Two stores: this product's own, which an online import fills whole, and the Hub client's cache,
which holds whatever somebody downloaded and so says less. Both are checked when read.
"""

import hashlib
import json
import os
import re
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from huggingface_hub import constants

from registry.artifact.front_matter import front_matter
from registry.errors import BadInput
from registry.hub import facts
from registry.hub.facts import RECORD_FILE, Commit, HubFile
from registry.hub.intake import MAX_CARD_BYTES, Reading
from registry.hub.refusals import HubRefusal

_HEX: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SEEN: Final = "seen.json"
_MAX_SEEN: Final = 8 << 20


def cache_folder() -> Path:
    """Return LICTOR_CACHE, or the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("LICTOR_CACHE") or str(Path(base) / "lictor")) / "hub"


def repo_folder(repo: str) -> Path:
    return cache_folder() / repo.replace("/", "--")


def keep(reading: Reading) -> Path:
    """Write a reading below the cache, so that `Kept.read` gives it back; return its folder."""
    commit, folder = reading.commit, repo_folder(reading.commit.repo) / reading.commit.sha
    for path, data in reading.texts.items():
        _write(folder / "texts" / path, data)
    _write(folder / RECORD_FILE, commit.canonical_bytes())
    _write(folder / _SEEN, json.dumps(reading.seen).encode())
    for name in {commit.repo, str(reading.seen["named"])}:
        if facts.is_repo(name):
            _note(name, reading.seen["revision"], commit)
    return folder


class Kept:
    """Read repositories from what is kept, never from the network."""

    def pin(self, repo: str, revision: str | None = None) -> tuple[str, str]:
        reading = self.read(repo, revision)
        return reading.commit.repo, reading.commit.sha

    def read(self, repo: str, revision: str | None = None) -> Reading:
        """Raises: HubRefusal (offline) for what nobody kept, (bad_answer) for what was altered."""
        if not facts.is_repo(repo):
            raise HubRefusal("missing", f"{repo[:200]!r} is no name of a repository.")
        told = _refs(repo).get(revision or "") or {}
        name, sha = told.get("repo", repo), told.get("commit", revision or "")
        folder = repo_folder(name) / sha
        if sha and (folder / RECORD_FILE).is_file():
            return _read_kept(folder, repo, revision)
        return _read_hub_cache(repo, revision)


def _read_kept(folder: Path, repo: str, revision: str | None) -> Reading:
    try:
        commit = Commit.from_json(json.loads((folder / RECORD_FILE).read_bytes()))
        seen = json.loads((folder / _SEEN).read_bytes()[:_MAX_SEEN])
        texts = {
            path.relative_to(folder / "texts").as_posix(): path.read_bytes()
            for path in sorted((folder / "texts").rglob("*"))
            if path.is_file()
        }
    except (OSError, ValueError, BadInput) as error:
        raise HubRefusal("bad_answer", f"{folder} cannot be read: {error}.") from error
    for path, data in texts.items():
        _check(commit.file(path), data, path)
    return Reading(commit, {**seen, "source": "cache", "revision": revision or ""}, texts)


def _check(file: HubFile | None, data: bytes, path: str) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    if file is None or not facts.matches(file, sha256=sha256, blob_id=facts.git_blob_id(data)):
        raise HubRefusal("bad_answer", f"the kept {path} is not the file that the Hub listed.")


def _read_hub_cache(repo: str, revision: str | None) -> Reading:
    """Read what the Hub's own client keeps: some files of a commit, named by their hashes."""
    root = Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE)
    held = root / f"models--{repo.replace('/', '--')}"
    ref = held / "refs" / (revision or "main")
    sha = revision or ""
    if facts.name_fault(revision or "main") == "" and ref.is_file():
        sha = ref.read_text(encoding="ascii", errors="replace").strip()
    snapshot = held / "snapshots" / sha
    if not sha or facts.name_fault(sha) or not snapshot.is_dir():
        raise HubRefusal("offline", f"Nothing is kept of {repo}@{revision or 'main'}.")
    files, texts = [], {}
    for path in sorted(one for one in snapshot.rglob("*") if one.is_file()):
        name = path.relative_to(snapshot).as_posix()
        file = _cached(path, name)
        if facts.is_text_wanted(name) and (file.size or 0) <= MAX_CARD_BYTES:
            texts[name] = path.read_bytes()
            _check(file, texts[name], name)
        files.append(file)
    try:
        commit = Commit(repo, sha, tuple(files))
    except BadInput as error:
        raise HubRefusal("bad_answer", f"{snapshot}: {error.detail}") from error
    return Reading(commit, _seen_in_cache(repo, revision, texts), texts)


def _cached(path: Path, name: str) -> HubFile:
    """Describe a cached file; the cache names a file's bytes by the hash that the Hub claimed."""
    claim = path.resolve().name
    size = path.stat().st_size
    if not _HEX.fullmatch(claim):
        claim = facts.git_blob_id(path.read_bytes()) if size <= MAX_CARD_BYTES else ""
    is_large = len(claim) == hashlib.sha256().digest_size * 2
    return HubFile(name, size, None if is_large else claim or None, claim if is_large else None)


def _seen_in_cache(repo: str, revision: str | None, texts: dict[str, bytes]) -> dict[str, Any]:
    try:
        card = front_matter(texts.get("README.md", b"").decode())
    except (BadInput, UnicodeDecodeError):
        card = {}
    named = facts.with_adapter_base(repo, facts.parents_of(repo, card, None), texts)
    return {
        "endpoint": "",
        "source": "hub cache",
        "revision": revision or "",
        "named": repo,
        # A cache holds what somebody fetched: that a file is not in it says nothing.
        "unknown": ["expand", "security", "files", "gated"],
        **dict.fromkeys(
            ("gated", "private", "disabled", "last_modified", "safetensors", "security")
        ),
        "card": facts.card_of(card),
        "gates": facts.gates_of(card),
        "parents": [asdict(one) for one in named],
        "left_out": [],
        "datasets": [
            {"id": name, "license": "", "state": "offline"}
            for name in facts.card_of(card)["datasets"]
        ],
    }


def _refs(repo: str) -> dict[str, dict[str, str]]:
    try:
        found = json.loads((repo_folder(repo) / "refs.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(repo: str, revision: str, commit: Commit) -> None:
    refs = {**_refs(repo), revision: {"repo": commit.repo, "commit": commit.sha}}
    _write(repo_folder(repo) / "refs.json", json.dumps(refs).encode())


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:8]}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
