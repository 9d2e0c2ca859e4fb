"""Collect from the database what one judgement looks at; decide nothing.

The closure of the checkpoint is taken whole, and the closures of models that a matter names, since
a suit over one derivative can touch the base. What is not registered stays a name without facts,
which the rules read as unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from compliance.models import Evidence, LicencePin, Matter, Waiver
from compliance.rules import facts as shapes
from compliance.services.hub_facts import imports_of, with_hub
from compliance.services.uses import IntendedUse
from registry.artifact.card import DeclaredFacts, is_declaring
from registry.models import Checkpoint, DatasetUse, LineageEdge, Organisation
from registry.selectors import closure_up

_MAX_NOTICE_LINES = 200


def model_ids(checkpoints: Iterable[Checkpoint]) -> dict[Any, str]:
    """Name each checkpoint for the rules: its model, with the digest where two share a model."""
    rows = sorted(checkpoints, key=lambda one: one.digest)
    names = [row.model.name for row in rows]
    return {
        row.pk: row.model.name
        if names.count(row.model.name) == 1
        else f"{row.model.name}@{row.digest[7:19]}"
        for row in rows
    }


def collect(
    checkpoint: Checkpoint,
    use: IntendedUse,
    *,
    now: datetime,
    matters: tuple[shapes.Matter, ...] | None = None,
) -> shapes.Facts:
    """Gather the facts of one checkpoint for one use; `matters` replaces those on record."""
    organisation = checkpoint.organisation
    told = matters_of(organisation) if matters is None else matters
    rows, edges = _lineage(checkpoint, told)
    ids = model_ids(rows.values())
    return shapes.Facts(
        models=_models(rows, edges, ids),
        subject=ids[checkpoint.pk],
        as_of=now.date(),
        use=use.use,
        matters=told,
        waivers=_waivers(checkpoint, now),
    )


def _lineage(
    checkpoint: Checkpoint, matters: tuple[shapes.Matter, ...]
) -> tuple[dict[Any, Checkpoint], dict[Any, LineageEdge]]:
    alleged = {name for matter in matters for name in _alleged(matter)}
    named = Checkpoint.objects.for_org(checkpoint.organisation).filter(model__name__in=alleged)
    rows: dict[Any, Checkpoint] = {}
    edges: dict[Any, LineageEdge] = {}
    for start in [checkpoint, *named]:
        if start.pk not in rows:
            closure = closure_up(start)
            rows.update(closure.checkpoints)
            edges.update({edge.pk: edge for edge in closure.edges})
    full = Checkpoint.objects.select_related("model").in_bulk(list(rows))
    return full, edges


def _models(
    rows: Mapping[Any, Checkpoint], edges: Mapping[Any, LineageEdge], ids: Mapping[Any, str]
) -> tuple[shapes.ModelFacts, ...]:
    keys = list(rows)
    pins = dict(
        LicencePin.objects.filter(checkpoint__in=keys, is_active=True).values_list(
            "checkpoint_id", "licence_key"
        )
    )
    evidence, imports = _newest_evidence(keys), imports_of(keys)
    datasets: dict[Any, list[shapes.DatasetFact]] = {}
    for row in DatasetUse.objects.filter(checkpoint__in=keys).order_by("name", "use"):
        fact = shapes.DatasetFact(id=row.name, license=row.license or None, use=row.use)
        datasets.setdefault(row.checkpoint_id, []).append(fact)
    parents: dict[Any, list[shapes.ParentLink]] = {}
    for edge in edges.values():
        link = shapes.ParentLink(
            id=ids.get(edge.parent_id, edge.parent_name), relation=edge.relation
        )
        parents.setdefault(edge.child_id, []).append(link)
    return tuple(
        with_hub(
            replace(
                _declared(row, ids[row.pk], known=tuple(datasets.get(row.pk, ()))),
                license_pin=pins.get(row.pk),
                # Whoever uploads chooses the name, so the name alone vouches for no licensor.
                publisher="",
                parents=_sorted_links(row, parents.get(row.pk, [])),
                evidence=evidence.get(row.pk, ()),
            ),
            imports.get(row.pk),
        )
        for row in sorted(rows.values(), key=lambda one: ids[one.pk])
    )


def _sorted_links(row: Checkpoint, links: list[shapes.ParentLink]) -> tuple[shapes.ParentLink, ...]:
    """Join the registered parents with those that only the card names: neither hides the other."""
    declared = _declared_facts(row)
    names = set(declared.base_models)
    if declared.adapter_base:
        names.add(declared.adapter_base)
    told = {link.id.split("@")[0] for link in links} | {row.model.name}
    relation = declared.base_model_relation or "finetune"
    extra = [shapes.ParentLink(id=name, relation=relation) for name in sorted(names - told)]
    return tuple(sorted([*links, *extra], key=lambda link: (link.id, link.relation)))


def _declared_facts(row: Checkpoint) -> DeclaredFacts:
    known = DeclaredFacts.__dataclass_fields__
    return DeclaredFacts.from_json({k: v for k, v in row.declared.items() if k in known})


def _declared(
    row: Checkpoint, model_id: str, *, known: tuple[shapes.DatasetFact, ...]
) -> shapes.ModelFacts:
    declared = _declared_facts(row)
    told = {item.id for item in known}
    extra = tuple(shapes.DatasetFact(id=name) for name in declared.datasets if name not in told)
    paths = tuple(sorted(item["path"] for item in row.manifest.get("files", ())))
    lines = [
        line.strip()
        for file in declared.notice_files
        for line in (file.text or "").splitlines()
        if line.strip()
    ]
    said = [
        *(("card", one) for one in (declared.card_prose,) if one),
        *(("gate", one) for one in declared.gates),
        *(("notice", file.text) for file in declared.notice_files if file.text),
    ]
    return shapes.ModelFacts(
        id=model_id,
        statements=tuple(shapes.Statement(source=source, text=text) for source, text in said),
        license=declared.license,
        license_name=declared.license_name,
        license_link=declared.license_link,
        licence_texts=tuple(
            shapes.LicenceText(path=file.path, text=file.text, sha256=file.sha256)
            for file in declared.licence_files
        ),
        datasets=(*known, *extra),
        distributed_files=tuple(path for path in paths if is_declaring(path)),
        notices=tuple(lines[:_MAX_NOTICE_LINES]),
    )


def _newest_evidence(keys: list[Any]) -> dict[Any, tuple[shapes.EvidenceFact, ...]]:
    """Keep the newest record of each kind, result's method and checkpoint; older ones are history.

    A measurement without a clear result says that nothing is known.
    """
    newest: dict[tuple[Any, str, str], dict[Any, Evidence]] = {}
    rows = Evidence.objects.filter(checkpoint__in=keys).select_related("guard")
    for row in rows.order_by("created_at", "id"):
        newest.setdefault((row.checkpoint_id, row.kind, row.method), {})[row.guard_id] = row
    found: dict[Any, list[shapes.EvidenceFact]] = {}
    for (key, kind, method), by_guard in sorted(newest.items(), key=lambda item: item[0][1:]):
        if (row := _telling(by_guard)) is None:
            continue
        known = shapes.EVIDENCE_RESULTS.get(kind, frozenset())
        fact = shapes.EvidenceFact(
            kind=kind,
            result=row.result if row.result in known else "unknown",
            method=method,
            reference=row.record_digest,
            summary=row.summary,
        )
        found.setdefault(key, []).append(fact)
    return {key: tuple(items) for key, items in found.items()}


def _telling(by_guard: Mapping[Any, Evidence]) -> Evidence | None:
    """Choose among the newest records of the model alone (key None) and behind each guard.

    What kept its refusals alone needs no guard. Where it did not, a guard that is still in use
    and was last measured as replacing them tells; the newest such, if there are several. Behind a
    retired guard nothing counts.
    """
    alone = by_guard.get(None)
    if alone is not None and alone.result == Evidence.Result.RETAINED:
        return alone
    behind = [row for row in by_guard.values() if row.guard and row.guard.retired_at is None]
    replaced = [row for row in behind if row.result == Evidence.Result.REPLACED]
    if alone is not None and not replaced:
        return alone
    return max(replaced or behind, key=lambda row: (row.created_at, row.pk), default=None)


def matters_of(organisation: Organisation) -> tuple[shapes.Matter, ...]:
    """List the matters on record, each under its reference; a draft that was dropped is none."""
    rows = Matter.objects.for_org(organisation).order_by("reference")
    rows = rows.exclude(status=Matter.Status.WITHDRAWN, filed_on=None)
    return name_checkpoints(organisation, tuple(matter_fact(row) for row in rows))


def name_checkpoints(
    organisation: Organisation, matters: tuple[shapes.Matter, ...]
) -> tuple[shapes.Matter, ...]:
    """Let a matter that names a model name each of its checkpoints, where there are several."""
    names = {name for matter in matters for name in _alleged(matter)}
    rows = Checkpoint.objects.for_org(organisation).filter(model__name__in=names)
    several: dict[str, list[str]] = {}
    for name, digest in rows.values_list("model__name", "digest"):
        several.setdefault(name, []).append(f"{name}@{digest[7:19]}")

    def spread(given: tuple[str, ...]) -> tuple[str, ...]:
        extra = {one for name in given if len(several.get(name, ())) > 1 for one in several[name]}
        return tuple(sorted({*given, *extra}))

    return tuple(
        replace(
            matter,
            alleges_model_infringes=spread(matter.alleges_model_infringes),
            alleges_output_infringes=spread(matter.alleges_output_infringes),
        )
        for matter in matters
    )


def _alleged(matter: shapes.Matter) -> tuple[str, ...]:
    return (*matter.alleges_model_infringes, *matter.alleges_output_infringes)


def matter_fact(row: Matter) -> shapes.Matter:
    return shapes.Matter(
        id=row.reference,
        kind=row.kind,
        status=row.status,
        filed_on=row.filed_on,
        withdrawn_on=row.withdrawn_on,
        in_response=row.in_response,
        alleges_model_infringes=tuple(sorted(row.alleges_model_infringes)),
        alleges_output_infringes=tuple(sorted(row.alleges_output_infringes)),
    )


def _waivers(checkpoint: Checkpoint, now: datetime) -> tuple[shapes.Waiver, ...]:
    """List what is waived for this very checkpoint; an ancestor's waivers do not carry over."""
    found = Waiver.objects.filter(checkpoint=checkpoint, revoked_at=None, expires_at__gt=now)
    return tuple(
        shapes.Waiver(
            id=str(row.pk),
            rule=row.rule,
            licence=row.licence_key,
            reason=row.reason,
            granted_by=row.owner_name,
            expires_on=row.expires_at.date(),
        )
        for row in found.order_by("id")
    )
