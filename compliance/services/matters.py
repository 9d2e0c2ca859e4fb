"""Look at what litigation would end, declare it, file it, withdraw it.

Filing is one transaction: the matter, the end of every standing that it ends, the ledger entries
and the announcements, or none of it. Withdrawing gives nothing back: the texts have no way back,
so a standing that ended stays ended.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from compliance.dependants import dependants
from compliance.models import Assessment, Matter, Standing
from compliance.rules import standing as rules
from compliance.rules.assessment import Assessment as Judgement
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import MATTER_KINDS, Facts, Use, canonical_json
from compliance.rules.facts import Matter as MatterFact
from compliance.selectors_licences import library_for
from compliance.services import facts as facts_service
from compliance.services.assess import assess
from compliance.services.hints import hint_on_commit
from compliance.services.people import lock, require
from compliance.services.standing import end_for_report
from compliance.services.uses import IntendedUse
from registry.errors import BadInput, Duplicate, Fault, StaleState
from registry.ledger.append import append
from registry.models import Checkpoint, Organisation, User

# What a lawsuit ends does not depend on the use.
_ANY_USE = IntendedUse(Use(), {}, "")
_FIELDS = (
    "reference",
    "title",
    "kind",
    "status",
    "filed_on",
    "alleges_model_infringes",
    "alleges_output_infringes",
    "in_response",
)
_STATUSES = (Matter.Status.DRAFT, Matter.Status.FILED)
_MAX_NAMES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """List what filing a matter would end, what it would put in doubt, and by which clauses."""

    checkpoints: list[dict[str, Any]]
    endpoints: list[dict[str, Any]]
    doubts: list[dict[str, Any]]
    clauses: list[dict[str, Any]]
    already_ended: list[str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "checkpoints": self.checkpoints,
            "endpoints": self.endpoints,
            "doubts": self.doubts,
            "clauses": self.clauses,
            "already_ended": self.already_ended,
        }


def what_if(
    organisation: Organisation,
    fields: Mapping[str, Any],
    *,
    actor: User | None = None,
    now: datetime | None = None,
) -> BlastRadius:
    """Say what would end if this matter were filed; writes nothing.

    Raises: RoleMissing when `actor` is given and may not; BadInput (matter_invalid).
    """
    if actor is not None:
        require(actor, organisation, "matter.what_if")
    at = now or timezone.now()
    matter = _read(fields, at.date())
    return radius_of(organisation, matter, now=at)


def radius_of(organisation: Organisation, matter: MatterFact, *, now: datetime) -> BlastRadius:
    """Compute the blast radius of one matter over everything that is registered."""
    existing = tuple(
        item for item in facts_service.matters_of(organisation) if item.id != matter.id
    )
    (named,) = facts_service.name_checkpoints(organisation, (matter,))
    rows = _checkpoints(organisation)
    approval = rules.Approval(decision="")
    found = rules.blast_radius(
        _facts_by_checkpoint(rows, (*existing, named), now),
        named,
        [rules.Deployment(id=key, checkpoint=key, approval=approval) for key in rows],
        library_for(organisation),
        as_of=now.date(),
        matters=existing,
    )
    ended = [_row(rows[item.checkpoint], item.after) for item in found.ends]
    endpoints = dependants(
        "endpoints", organisation, [rows[one.checkpoint].pk for one in found.ends]
    )
    return BlastRadius(
        checkpoints=ended,
        endpoints=endpoints,
        doubts=[_row(rows[item.checkpoint], item.after) for item in found.doubts],
        clauses=_clauses(ended),
        already_ended=list(found.already_down),
    )


def _checkpoints(organisation: Organisation) -> dict[str, Checkpoint]:
    rows = Checkpoint.objects.for_org(organisation).select_related("model", "organisation")
    return {str(row.pk): row for row in rows.order_by("model__name", "digest")}


def _facts_by_checkpoint(
    rows: Mapping[str, Checkpoint], matters: tuple[MatterFact, ...], now: datetime
) -> dict[str, Facts]:
    return {
        key: facts_service.collect(row, _ANY_USE, now=now, matters=matters)
        for key, row in rows.items()
    }


def _row(checkpoint: Checkpoint, after: rules.Standing) -> dict[str, Any]:
    return {
        "id": str(checkpoint.pk),
        "name": checkpoint.model.name,
        "digest": checkpoint.digest,
        "because": after.because,
        "licence": after.licence,
        "licence_title": after.licence_title,
        "version": after.version,
        "section": after.section,
        "quote": after.quote,
        "model": after.model,
        "effective": after.effective.isoformat() if after.effective else None,
    }


def _clauses(ended: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("licence", "licence_title", "version", "section", "quote", "model")
    unique = {canonical_json([row[name] for name in names]): row for row in ended}
    return [{name: row[name] for name in names} for _, row in sorted(unique.items())]


def declare(
    organisation: Organisation,
    fields: Mapping[str, Any],
    *,
    actor: User,
    now: datetime | None = None,
) -> Matter:
    """Record a matter; one with status "filed" is filed in the same transaction.

    Raises: RoleMissing; BadInput (matter_invalid) listing every fault; Duplicate.
    """
    require(actor, organisation, "matter.declare")
    at = now or timezone.now()
    fact = _read(fields, at.date())
    with transaction.atomic():
        lock(organisation.pk)
        matter = _create(organisation, fact, str(fields.get("title", "")).strip(), actor)
        _note(matter, "matter.declared", actor, fact)
        if fact.status == Matter.Status.FILED:
            _file(matter, fact.filed_on or at.date(), actor=actor, now=at)
    return Matter.objects.get(pk=matter.pk)


def _create(organisation: Organisation, fact: MatterFact, title: str, actor: User) -> Matter:
    try:
        with transaction.atomic():
            return Matter.objects.create(
                organisation=organisation,
                reference=fact.id,
                title=title,
                kind=fact.kind,
                alleges_model_infringes=list(fact.alleges_model_infringes),
                alleges_output_infringes=list(fact.alleges_output_infringes),
                in_response=fact.in_response,
                declared_by=actor,
                declared_by_name=actor.username,
            )
    except IntegrityError:
        raise Duplicate(f"There is a matter {fact.id!r} already; choose another.") from None


def file(
    matter: Matter,
    *,
    actor: User,
    filed_on: date | None = None,
    version: int | None = None,
    now: datetime | None = None,
) -> Matter:
    """File a drafted matter, and end every standing that its filing ends.

    Raises: RoleMissing; BadInput (matter_invalid); StaleState unless it is a draft (of `version`,
    when given).
    """
    require(actor, matter.organisation, "matter.declare")
    at = now or timezone.now()
    day = filed_on or matter.filed_on or at.date()
    if day > at.date():
        raise BadInput("The filing date lies in the future.", code="matter_invalid")
    with transaction.atomic():
        lock(matter.organisation_id)
        held = Matter.objects.select_related("organisation").get(pk=matter.pk)
        _expect(held, Matter.Status.DRAFT, version)
        _file(held, day, actor=actor, now=at)
    return Matter.objects.get(pk=matter.pk)


def _expect(held: Matter, status: str, version: int | None) -> None:
    if held.status != status:
        raise StaleState(f"The matter {held.reference} is {held.status}, not {status}.")
    if version is not None and held.version != version:
        raise StaleState(f"The matter {held.reference} was changed; read it again.")


def _file(held: Matter, day: date, *, actor: User, now: datetime) -> None:
    moved = Matter.objects.filter(
        pk=held.pk, status=Matter.Status.DRAFT, version=held.version
    ).update(status=Matter.Status.FILED, filed_on=day, version=F("version") + 1)
    if not moved:
        raise StaleState(f"The matter {held.reference} was moved by somebody else.")
    held.refresh_from_db()
    _note(held, "matter.filed", actor, facts_service.matter_fact(held))
    for row, report in _judged(held.organisation, now):
        end_for_report(row, report, actor=actor.username)
        if _mentions(report, held):
            # Also what it only puts in doubt: those approvals become stale.
            _judge_again(row, actor=actor.username, now=now)
    hint_on_commit("standing")


def _judged(organisation: Organisation, now: datetime) -> Iterator[tuple[Checkpoint, Judgement]]:
    matters = facts_service.matters_of(organisation)
    library = library_for(organisation)
    for row in _checkpoints(organisation).values():
        facts = facts_service.collect(row, _ANY_USE, now=now, matters=matters)
        yield row, evaluate(facts, library)


def end_what_matters_end(
    organisation: Organisation, *, actor: str, now: datetime
) -> list[Standing]:
    """Write the end of every standing that the matters on record end; return the new rows.

    Idempotent; call inside a transaction.
    """
    return [
        ended
        for row, report in _judged(organisation, now)
        for ended in end_for_report(row, report, actor=actor)
    ]


def _mentions(report: Judgement, matter: Matter) -> bool:
    return any(
        reference.kind == "matter" and reference.reference == matter.reference
        for item in report.findings
        for reference in item.evidence
    )


def _judge_again(checkpoint: Checkpoint, *, actor: str, now: datetime) -> None:
    rows = Assessment.objects.filter(checkpoint=checkpoint, is_current=True)
    for use in list(rows.order_by("use_digest").values_list("use", flat=True)):
        assess(checkpoint, use, actor=actor, now=now)


def withdraw(
    matter: Matter, *, actor: User, version: int | None = None, now: datetime | None = None
) -> Matter:
    """Record that a matter was withdrawn; what its filing ended stays ended.

    Raises: RoleMissing; StaleState when it is withdrawn already.
    """
    require(actor, matter.organisation, "matter.withdraw")
    at = now or timezone.now()
    with transaction.atomic():
        lock(matter.organisation_id)
        held: Matter = Matter.objects.select_related("organisation").get(pk=matter.pk)
        if held.status == Matter.Status.WITHDRAWN:
            raise StaleState(f"The matter {held.reference} is withdrawn already.")
        _expect(held, held.status, version)
        Matter.objects.filter(pk=held.pk, version=held.version).update(
            status=Matter.Status.WITHDRAWN, withdrawn_on=at.date(), version=F("version") + 1
        )
        held.refresh_from_db()
        _note(held, "matter.withdrawn", actor, facts_service.matter_fact(held))
    return held


def _note(matter: Matter, action: str, actor: User, fact: MatterFact) -> None:
    append(
        matter.organisation,
        actor=actor.username,
        action=action,
        subject=matter.reference,
        payload={
            "matter": str(matter.pk),
            "title": matter.title,
            "kind": fact.kind,
            "status": matter.status,
            "filed_on": matter.filed_on.isoformat() if matter.filed_on else None,
            "alleges_model_infringes": list(fact.alleges_model_infringes),
            "alleges_output_infringes": list(fact.alleges_output_infringes),
            "in_response": fact.in_response,
        },
    )


def _read(fields: Mapping[str, Any], today: date) -> MatterFact:
    """Check plain fields. Raises: BadInput (matter_invalid) listing every fault."""
    faults = [
        _fault(name, f"Unknown member; known: {', '.join(_FIELDS)}.")
        for name in sorted(set(map(str, fields)) - set(_FIELDS))
    ]
    reference = str(fields.get("reference") or "").strip()
    title = str(fields.get("title") or "").strip()
    faults += [
        _fault(name, f"Must be 1 to {limit} characters.")
        for name, value, limit in (("reference", reference, 100), ("title", title, 200))
        if not 1 <= len(value) <= limit
    ]
    filed_on = _day(fields.get("filed_on"), today, faults)
    kind, status = fields.get("kind"), fields.get("status") or Matter.Status.DRAFT
    faults += _choice_faults(kind, status, fields.get("in_response"))
    models = _names(fields, "alleges_model_infringes", faults)
    outputs = _names(fields, "alleges_output_infringes", faults)
    if not models and not outputs:
        faults.append(_fault("alleges_model_infringes", "Name at least one model, as org/name."))
    if faults:
        raise BadInput.listing(faults, code="matter_invalid")
    return MatterFact(
        id=reference,
        kind=str(kind),
        status=str(status),
        filed_on=filed_on,
        in_response=fields.get("in_response"),
        alleges_model_infringes=models,
        alleges_output_infringes=outputs,
    )


def _choice_faults(kind: object, status: object, in_response: object) -> list[Fault]:
    faults = []
    if kind not in MATTER_KINDS:
        faults.append(_fault("kind", f"Must be one of {', '.join(sorted(MATTER_KINDS))}."))
    if status not in _STATUSES:
        faults.append(_fault("status", "Must be draft or filed."))
    if not isinstance(in_response, bool | None):
        faults.append(_fault("in_response", "Must be true, false or left out."))
    return faults


def _fault(name: str, message: str) -> Fault:
    return Fault(name, "matter_invalid", message)


def _day(value: object, today: date, faults: list[Fault]) -> date | None:
    if value is None or value == "":
        return None
    try:
        day = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        faults.append(_fault("filed_on", f"{value!r} is no date; write YYYY-MM-DD."))
        return None
    if day > today:
        faults.append(_fault("filed_on", "Lies in the future; declare it as a draft until then."))
    return day


def _names(fields: Mapping[str, Any], name: str, faults: list[Fault]) -> tuple[str, ...]:
    value = fields.get(name) or []
    if not isinstance(value, list | tuple) or len(value) > _MAX_NAMES:
        faults.append(_fault(name, f"Must be a list of at most {_MAX_NAMES} model names."))
        return ()
    if not all(isinstance(item, str) and item.strip() for item in value):
        faults.append(_fault(name, "Must hold model names, as org/name."))
        return ()
    return tuple(sorted({item.strip() for item in value}))
