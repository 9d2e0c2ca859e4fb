"""Register what was read of a Hub; one transaction, one ledger entry.

A checkpoint without weights is identified by its texts and by the record of its commit, whose
hashes are claims; it stays a metadata checkpoint and is never served. With weights, every file is
compared here with the Hub's hash before the import counts as verified.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from registry import services, storage
from registry.artifact.card import CONFIG_FILES
from registry.artifact.manifest import FileEntry, Manifest
from registry.errors import BadInput, Fault, Unprocessable
from registry.hub import changes as hub_changes
from registry.hub import facts
from registry.hub.changes import Change
from registry.hub.facts import RECORD_FILE, REFUSED_FOLDER, Commit
from registry.hub.wire import edge_name, without_remote_code
from registry.ledger.append import append
from registry.models import Checkpoint, HubImport, Organisation, User
from registry.outbox import publish
from registry.signals import CHECKPOINT_REGISTERED

MAX_HASHED_BYTES: Final = 64 << 20
NEW: Final = "new"
UNCHANGED: Final = "unchanged"
SEEN_AGAIN: Final = "seen_again"


@dataclass(frozen=True)
class Outcome:
    """Say what an import did: `result` is new, unchanged, or seen_again (the Hub says more)."""

    row: HubImport
    result: str
    changes: tuple[Change, ...] = ()

    @property
    def licence_changed(self) -> bool:
        return hub_changes.is_licence_change(self.changes)


def read_record(organisation: Organisation, sha256: str) -> Commit:
    """Read a commit's record from the store. Raises: BadInput, Unprocessable (missing_blobs)."""
    if storage.missing(organisation, [sha256]):
        raise Unprocessable(
            "The record of the commit is not stored here; send it as a blob first.",
            code="missing_blobs",
            extra={"missing": [sha256]},
        )
    try:
        value = json.loads(storage.blob_path(sha256).read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput("The record is not JSON.", code="hub_record_invalid") from error
    return Commit.from_json(value)


def register_import(
    *,
    organisation: Organisation,
    actor: User,
    kind: str,
    manifest: Manifest,
    commit: Commit,
    seen: dict[str, Any],
    originals: Mapping[str, str] | None = None,
) -> Outcome:
    """Register one reading of a repository as a checkpoint of the model of that name.

    Law: the same reading again changes nothing. `originals` are the SHA-256 of configurations as
    the Hub has them, where the manifest has them without remote code.

    Raises: Unprocessable (code hub_mismatch) when a file is not the one that the Hub names, and
    what `services.register_checkpoint` raises.
    """
    altered = _verify(organisation, kind, manifest, commit, originals or {})
    parents = [
        services.ParentInput(edge_name(one), one["relation"], None) for one in seen["parents"]
    ]
    datasets = [services.DatasetInput(one["id"], one["license"]) for one in seen["datasets"]]
    with transaction.atomic():
        Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
        checkpoint, _ = services.register_checkpoint(
            organisation=organisation,
            actor=actor,
            name=commit.repo,
            kind=kind,
            manifest=manifest,
            parents=list({(one.name, one.relation): one for one in parents}.values()),
            datasets=list({one.name: one for one in datasets}.values()),
        )
        known = HubImport.objects.filter(checkpoint=checkpoint).first()
        if known is not None:
            return _see_again(known, seen, actor=actor)
        return _first(checkpoint, commit, seen, altered, actor=actor)


def _first(
    checkpoint: Checkpoint, commit: Commit, seen: dict[str, Any], altered: list[str], *, actor: User
) -> Outcome:
    organisation = checkpoint.organisation
    before = HubImport.objects.for_org(organisation).filter(repo=commit.repo).first()
    found: tuple[Change, ...] = ()
    if before is not None:
        found = hub_changes.changes(Commit.from_json(before.record), before.seen, commit, seen)
    row = HubImport.objects.create(
        organisation=organisation,
        checkpoint=checkpoint,
        repo=commit.repo,
        commit=commit.sha,
        record=commit.to_json(),
        seen=seen,
        altered=altered,
        is_verified=checkpoint.kind == Checkpoint.Kind.WEIGHTS,
        previous=before,
        changes=[one.to_json() for one in found],
        licence_changed=hub_changes.is_licence_change(found),
        imported_by_name=actor.username,
        seen_at=timezone.now(),
    )
    outcome = Outcome(row, NEW, found)
    _note(outcome, "hub.imported", actor)
    # It may have been registered as a folder before, and been judged without what the Hub says.
    publish(CHECKPOINT_REGISTERED, str(checkpoint.pk))
    return outcome


def _see_again(row: HubImport, seen: dict[str, Any], *, actor: User) -> Outcome:
    """Keep what the Hub says now of a commit that is known; a cache says nothing new."""
    if seen["source"] != "hub":
        return Outcome(row, UNCHANGED)
    now = _merged(row.seen, seen)
    commit = Commit.from_json(row.record)
    found = hub_changes.changes(commit, row.seen, commit, now)
    if not found:
        return Outcome(row, UNCHANGED)
    row.seen, row.seen_at = now, timezone.now()
    row.changes = [one.to_json() for one in found]
    row.licence_changed = hub_changes.is_licence_change(found)
    row.save(update_fields=["seen", "seen_at", "changes", "licence_changed"])
    outcome = Outcome(row, SEEN_AGAIN, found)
    _note(outcome, "hub.seen_again", actor)
    publish(CHECKPOINT_REGISTERED, str(row.checkpoint_id))
    return outcome


def _merged(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Take what is said now, and keep what this time could not be learnt."""
    kept = {key: value for key, value in now.items() if value is not None}
    if "expand" in now["unknown"]:
        kept.pop("parents")
    return {**was, **kept}


def _note(outcome: Outcome, action: str, actor: User) -> None:
    row = outcome.row
    append(
        row.organisation,
        actor=actor.username,
        action="hub.licence_changed" if outcome.licence_changed else action,
        subject=f"{row.repo}@{row.checkpoint.digest}",
        payload={
            "commit": row.commit,
            "endpoint": row.seen["endpoint"],
            "source": row.seen["source"],
            "verified": row.is_verified,
            "altered": row.altered,
            "previous": row.previous.commit if row.previous else None,
            "changes": [f"{one.kind}: {one.says}"[:500] for one in outcome.changes],
            "unread": [f"{p['id']}: {p['state']}" for p in row.seen["parents"] if _unread(p)],
        },
    )


def _unread(parent: Mapping[str, str]) -> bool:
    return parent["state"] != "read"


def _verify(
    organisation: Organisation,
    kind: str,
    manifest: Manifest,
    commit: Commit,
    originals: Mapping[str, str],
) -> list[str]:
    """Compare each file with what the Hub claims; return what was altered, in words."""
    if absent := storage.missing(
        organisation, [*(one.sha256 for one in manifest.files), *originals.values()]
    ):
        raise Unprocessable(
            f"{len(absent)} files are not stored here yet; send them as blobs first.",
            code="missing_blobs",
            extra={"missing": absent},
        )
    faults, altered = [], []
    for entry in manifest.files:
        is_record = entry.path == RECORD_FILE and kind == Checkpoint.Kind.METADATA
        if is_record or _is_claimed(entry.path.removeprefix(REFUSED_FOLDER), entry.sha256, commit):
            continue
        if _is_stripped(entry, commit, originals):
            altered.append(f"{entry.path}: what asks for remote code was taken out")
            continue
        faults.append(_mismatch(entry.path, "is not the file that the Hub names."))
    faults += _completeness(kind, manifest, commit)
    if faults:
        raise Unprocessable(
            " ".join(map(str, sorted(faults))), code="hub_mismatch", faults=sorted(faults)
        )
    return altered


def _completeness(kind: str, manifest: Manifest, commit: Commit) -> list[Fault]:
    if kind == Checkpoint.Kind.METADATA:
        record = hashlib.sha256(commit.canonical_bytes()).hexdigest()
        held = manifest.entry(RECORD_FILE)
        if held is None or held.sha256 != record:
            return [_mismatch(RECORD_FILE, "must be the record of the commit.")]
        return []
    held_paths = {one.path for one in manifest.files}
    return [
        _mismatch(one.path, "is among the Hub's weights and not in the manifest.")
        for one in commit.files
        if one.path.endswith(".safetensors") and one.path not in held_paths
    ]


def _is_claimed(path: str, sha256: str, commit: Commit) -> bool:
    file = commit.file(path)
    if file is None:
        return False
    if file.sha256 is not None or file.blob_id is None:
        return file.sha256 == sha256
    blob = storage.blob_path(sha256)
    # Only a file that is in git itself has no SHA-256, and such files are small.
    if blob.stat().st_size > MAX_HASHED_BYTES:
        return False
    return facts.matches(file, sha256=sha256, blob_id=facts.git_blob_id(blob.read_bytes()))


def _is_stripped(entry: FileEntry, commit: Commit, originals: Mapping[str, str]) -> bool:
    """Tell whether a configuration is the Hub's without remote code, and nothing else."""
    original = originals.get(entry.path)
    if entry.path not in CONFIG_FILES or original is None:
        return False
    if not _is_claimed(entry.path, original, commit):
        return False
    data = storage.blob_path(original).read_bytes()
    stripped = without_remote_code(data, place=entry.path)
    return hashlib.sha256(stripped).hexdigest() == entry.sha256


def _mismatch(path: str, message: str) -> Fault:
    return Fault(path, "hub_mismatch", message, "Import it again; what is not verified is refused.")
