"""Change the registry: each function is one transaction, one act, one ledger entry."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry import storage
from registry.artifact.card import DeclaredFacts, declared_facts, is_declaring, parse_config
from registry.artifact.formats import format_fault
from registry.artifact.gpus import gpu_named
from registry.artifact.manifest import FileEntry, Manifest
from registry.artifact.memory_plan import plan
from registry.artifact.safetensors import Header, read_header
from registry.auth import PREFIX, new_secret
from registry.errors import BadInput, Conflict, Duplicate, Fault, Unavailable, Unprocessable
from registry.ledger.append import append
from registry.lineage import MAX_ANCESTORS, MAX_LEVELS, levels_through, way_to_itself
from registry.models import (
    ApiToken,
    Checkpoint,
    DatasetUse,
    LineageEdge,
    Model,
    Organisation,
    User,
)
from registry.outbox import publish
from registry.selectors import closure_down, closure_up
from registry.signals import CHECKPOINT_REGISTERED
from registry.storable import unstorable

RELATIONS: Final = (
    "finetune",
    "adapter",
    "merge",
    "quantized",
    "distilled",
    "pruned",
    "continued_pretrain",
)
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_MAX_COLUMN: Final = 2**63 - 1
_HEAD_BYTES: Final = 4096
_TEXT_LIMIT: Final = 1 << 20


@dataclass(frozen=True)
class ParentInput:
    """Name a parent by its model name, and by digest where that model has several checkpoints."""

    name: str
    relation: str
    digest: str | None = None


@dataclass(frozen=True)
class DatasetInput:
    name: str
    license: str = ""
    use: str = "training"


@dataclass(frozen=True)
class _Contents:
    """Hold what the files of one checkpoint say of themselves."""

    declared: DeclaredFacts
    config: dict[str, Any]
    parameters: int | None
    weights_bytes: int


def register_checkpoint(
    *,
    organisation: Organisation,
    actor: User,
    name: str,
    kind: str,
    manifest: Manifest,
    parents: Sequence[ParentInput] = (),
    datasets: Sequence[DatasetInput] = (),
) -> tuple[Checkpoint, bool]:
    """Register the files of a manifest as a checkpoint of the model `name`: (row, is new).

    Law: the same manifest again gives the same row and changes nothing. Parents that are not
    registered yet are kept by name, and joined when they arrive.

    Raises: BadInput for a bad name or relation, Unprocessable for missing blobs or bad files (all
    listed) or a lineage that is too deep, Duplicate for a manifest registered under another name,
    Conflict (code lineage_cycle, naming the way round).
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name[:200]!r} is not an org/name.", code="bad_name", place="name")
    contents = _read(organisation, kind, manifest)
    _check_parents(parents)
    try:
        with transaction.atomic():
            # In turn, so that two checkpoints that name each other see each other.
            Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
            if (known := _known(organisation, name, manifest)) is not None:
                return known, False
            model, _ = Model.objects.get_or_create(organisation=organisation, name=name)
            checkpoint = Checkpoint.objects.create(
                organisation=organisation,
                model=model,
                digest=manifest.digest,
                kind=kind,
                manifest=manifest.to_json(),
                declared=contents.declared.to_json(),
                config=contents.config,
                parameters=contents.parameters,
                weights_bytes=contents.weights_bytes,
                submitted_by=actor,
                submitted_by_name=actor.username,
            )
            _link(checkpoint, parents, datasets)
            append(
                organisation,
                actor=actor.username,
                action="checkpoint.registered",
                subject=f"{name}@{manifest.digest}",
                payload={
                    "kind": kind,
                    "files": len(manifest.files),
                    "bytes": manifest.total_bytes,
                    "parents": [f"{p.relation} of {p.name}" for p in parents],
                },
            )
            publish(CHECKPOINT_REGISTERED, str(checkpoint.pk))
            return checkpoint, True
    except IntegrityError:
        # Another request registered the same manifest in between: its row is the answer.
        if (known := _known(organisation, name, manifest)) is None:
            raise
        return known, False


def _known(organisation: Organisation, name: str, manifest: Manifest) -> Checkpoint | None:
    known: Checkpoint | None = (
        Checkpoint.objects.for_org(organisation)
        .select_related("model")
        .filter(digest=manifest.digest)
        .first()
    )
    if known is not None and known.model.name != name:
        raise Duplicate(
            f"These very files are registered as {known.model.name} already.",
            extra={"checkpoint": str(known.pk)},
        )
    return known


def _read(organisation: Organisation, kind: str, manifest: Manifest) -> _Contents:
    """Open every stored file that says something, and collect all faults before refusing."""
    if absent := storage.missing(organisation, (entry.sha256 for entry in manifest.files)):
        raise Unprocessable(
            f"{len(absent)} of the manifest's files are not stored here yet; send them with "
            "PUT /api/v1/blobs/<sha256>/ first.",
            code="missing_blobs",
            extra={"missing": absent},
        )
    faults: list[Fault] = []
    headers: list[Header] = []
    texts: dict[str, bytes] = {}
    for entry in manifest.files:
        try:
            _read_file(entry, headers, texts)
        except BadInput as error:
            faults.extend(error.faults)
    parameters = sum(header.parameters for header in headers)
    weights_bytes = sum(header.data_bytes for header in headers)
    try:
        declared = declared_facts(texts)
    except BadInput as error:
        faults.extend(error.faults)
        declared = DeclaredFacts()
    config: dict[str, Any] = {}
    if "config.json" in texts and not faults:
        config = parse_config(texts["config.json"])
        faults.extend(unstorable(config, place="config.json"))
    for text in (*declared.licence_files, *declared.notice_files):
        faults.extend(unstorable(text.text, place=text.path))
    if not faults:
        faults.extend(unstorable(declared.to_json(), place="README.md"))
    # Of files that could not be read nobody knows whether they hold weights.
    if faults := faults or _kind_faults(kind, weights_bytes):
        raise _refusal(faults)
    return _Contents(declared, config, parameters or _planned_parameters(config), weights_bytes)


def _read_file(entry: FileEntry, headers: list[Header], texts: dict[str, bytes]) -> None:
    """Read what one stored file says into `headers` or `texts`. Raises: BadInput."""
    path = storage.blob_path(entry.sha256)
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise Unavailable(f"The store has lost {entry.path}.", code="blob_lost") from error
    if size != entry.size:
        message = f"is {size} bytes, not {entry.size} as the manifest says."
        raise BadInput(message, code="manifest_mismatch", place=entry.path)
    with path.open("rb") as file:
        if (fault := format_fault(entry.path, file.read(_HEAD_BYTES))) is not None:
            raise BadInput.listing([fault])
        if entry.path.endswith(".safetensors"):
            headers.append(read_header(file, place=entry.path))
        elif is_declaring(entry.path):
            file.seek(0)
            texts[entry.path] = file.read(_TEXT_LIMIT + 1)


def _kind_faults(kind: str, weights_bytes: int) -> list[Fault]:
    if kind not in Checkpoint.Kind.values:
        return [Fault("kind", "unknown_kind", f"{kind!r} is neither weights nor metadata.")]
    if kind == Checkpoint.Kind.WEIGHTS and not weights_bytes:
        remedy = "Add the safetensors files, or register it with kind metadata."
        return [Fault("manifest", "no_weights", "There are no safetensors files.", remedy)]
    if kind == Checkpoint.Kind.METADATA and weights_bytes:
        remedy = "Register it with kind weights."
        return [Fault("manifest", "has_weights", "A metadata checkpoint holds no weights.", remedy)]
    return []


def _refusal(faults: list[Fault]) -> Unprocessable:
    listed = sorted(set(faults))
    codes = {item.code for item in listed}
    return Unprocessable(
        " ".join(map(str, listed)),
        code=codes.pop() if len(codes) == 1 else "checkpoint_invalid",
        faults=listed,
    )


def _planned_parameters(config: dict[str, Any]) -> int | None:
    """Count the parameters that a config describes; None where its architecture is unknown."""
    try:
        planned = plan(config, gpu_named("a10g")).parameters
    except BadInput:
        return None
    return planned if planned <= _MAX_COLUMN else None


def _check_parents(parents: Sequence[ParentInput]) -> None:
    faults = [
        Fault(
            f"parents[{index}].relation",
            "unknown_relation",
            f"{parent.relation!r} is not a relation.",
            f"Use one of {', '.join(RELATIONS)}.",
        )
        for index, parent in enumerate(parents)
        if parent.relation not in RELATIONS
    ]
    named = [(parent.name, parent.relation) for parent in parents]
    faults += [
        Fault(f"parents[{index}]", "parent_repeated", f"names {name} as {relation} twice.")
        for index, (name, relation) in enumerate(named)
        if (name, relation) in named[:index]
    ]
    if faults:
        raise BadInput.listing(faults)


def _link(
    checkpoint: Checkpoint, parents: Sequence[ParentInput], datasets: Sequence[DatasetInput]
) -> None:
    organisation = checkpoint.organisation
    for parent in parents:
        found = _resolve(checkpoint, parent)
        if found is None and parent.digest:
            raise Unprocessable(
                f"No checkpoint {parent.digest} is registered as {parent.name}.",
                code="unknown_parent",
            )
        LineageEdge.objects.create(
            organisation=organisation,
            child=checkpoint,
            parent=found,
            parent_name=parent.name,
            relation=parent.relation,
        )
    for dataset in datasets:
        DatasetUse.objects.create(
            organisation=organisation,
            checkpoint=checkpoint,
            name=dataset.name,
            license=dataset.license,
            use=dataset.use,
        )
    _adopt_children(checkpoint)
    _check_lineage(checkpoint)


def _resolve(child: Checkpoint, parent: ParentInput) -> Checkpoint | None:
    """Find the newest checkpoint of that name; an earlier one of the child's own model counts."""
    held = Checkpoint.objects.for_org(child.organisation).exclude(pk=child.pk)
    rows = held.filter(model__name=parent.name)
    if parent.digest:
        rows = rows.filter(digest=parent.digest)
    found: Checkpoint | None = rows.order_by("-created_at").first()
    return found


def _adopt_children(checkpoint: Checkpoint) -> None:
    """Join the edges that named this model before it was registered."""
    waiting = LineageEdge.objects.for_org(checkpoint.organisation).filter(
        parent=None, parent_name=checkpoint.model.name
    )
    waiting.exclude(child=checkpoint).update(parent=checkpoint)


def _check_lineage(checkpoint: Checkpoint) -> None:
    up = closure_up(checkpoint)
    if (way := way_to_itself(checkpoint, up)) is not None:
        raise Conflict(
            f"{checkpoint.model.name} would be made from itself: {' from '.join(way)}.",
            code="lineage_cycle",
            extra={"path": way},
        )
    levels = levels_through(checkpoint, up, closure_down([checkpoint]))
    if levels > MAX_LEVELS or len(up.checkpoints) > MAX_ANCESTORS:
        raise Unprocessable(
            f"The lineage of {checkpoint.model.name} is {levels} levels deep, with "
            f"{len(up.checkpoints) - 1} ancestors; at most {MAX_LEVELS} and {MAX_ANCESTORS - 1}.",
            code="lineage_too_deep",
        )


def create_token(
    *,
    organisation: Organisation,
    owner: User,
    name: str,
    expires_in_days: int | None = None,
    now: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Make an API token; the secret is returned once and only its SHA-256 is kept."""
    secret, prefix, digest = new_secret(PREFIX)
    moment = now or timezone.now()
    with transaction.atomic():
        token = ApiToken.objects.create(
            organisation=organisation,
            owner=owner,
            name=name,
            prefix=prefix,
            sha256=digest,
            expires_at=moment + timedelta(days=expires_in_days) if expires_in_days else None,
        )
        append(
            organisation,
            actor=owner.username,
            action="token.created",
            subject=prefix,
            payload={"name": name, "expires_in_days": expires_in_days},
        )
    return token, secret


def revoke_token(token: ApiToken, *, actor: User, now: datetime | None = None) -> None:
    """End a token; ending it twice changes nothing."""
    with transaction.atomic():
        rows = ApiToken.objects.filter(pk=token.pk, revoked_at=None)
        if rows.update(revoked_at=now or timezone.now()) == 1:
            append(
                token.organisation,
                actor=actor.username,
                action="token.revoked",
                subject=token.prefix,
                payload={},
            )
