"""Write an organisation's own licence records, approve them by a second person, put them in force.

Every move is one transaction under the organisation's lock: the compare-and-set, the ledger entry,
and for a record that comes into force the new judgement of everything that it touches.
"""

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from compliance import selectors_licences as selectors
from compliance.models import LicencePin, LicenceRecord
from compliance.rules import licence_record as rules
from compliance.rules.catalogue import Library
from compliance.services.assess import assess
from compliance.services.licence_reach import library_before, touched
from compliance.services.licence_text import Checked, PlacedFault, library_after, read_fully
from compliance.services.people import lock, require
from registry.errors import (
    BadInput,
    Conflict,
    Fault,
    Forbidden,
    PreconditionFailed,
    SeparationOfDuties,
    StaleState,
)
from registry.ledger.append import append
from registry.models import Organisation, User

# Both belong to the legal reviewer, who also pins texts.
PROPOSE = "licence.pin"
DECIDE = "licence.pin"
INVALID = "licence_invalid"
_MAX_REASON = 4_000
_State = LicenceRecord.State


def draft(
    organisation: Organisation,
    *,
    text: str,
    reason: str,
    actor: User,
    expected_key: str | None = None,
    ground: str | None = None,
) -> LicenceRecord:
    """Write the next version of a licence, as a draft that counts for nothing yet.

    A key that the catalogue lacks is added; one that it has is overridden. `expected_key` refuses
    a text that became another licence's while it was edited, and `ground`, the digest of what it
    is meant to replace, one that comes too late.
    Raises: RoleMissing; PreconditionFailed; BadInput (licence_invalid) listing every fault with
    its line, or licence_unchanged.
    """
    require(actor, organisation, PROPOSE)
    checked = _sound(organisation, text, reason)
    if expected_key and checked.key != expected_key:
        raise _invalid(
            PlacedFault("key", f"must stay '{expected_key}'; another key is another licence", None)
        )
    with transaction.atomic():
        lock(organisation.pk)
        under = _ground(organisation, checked.key, ground)
        if checked.digest == under:
            raise BadInput(
                f"This says what counts for '{checked.key}' already; change something first.",
                code="licence_unchanged",
                place="yaml",
            )
        return _create(
            organisation,
            key=checked.key,
            change=rules.change_of(
                checked.key, in_base=selectors.base_text(checked.key) is not None
            ),
            document=text,
            digest=checked.digest,
            base_digest=under,
            reason=reason.strip(),
            author=actor,
        )


def _ground(organisation: Organisation, key: str, wanted: str | None) -> str:
    under = selectors.digest_of(selectors.text_of(organisation, key))
    if wanted is not None and wanted != under:
        raise PreconditionFailed(f"What counts for '{key}' is \"{under}\" now; read it again.")
    return under


def submit(
    organisation: Organisation,
    *,
    text: str,
    reason: str,
    actor: User,
    expected_key: str | None = None,
    ground: str | None = None,
) -> LicenceRecord:
    """Write a version and propose it in one act. Raises: as `draft`."""
    with transaction.atomic():
        row = draft(
            organisation,
            text=text,
            reason=reason,
            actor=actor,
            expected_key=expected_key,
            ground=ground,
        )
        return propose(row, actor=actor)


def submit_retirement(
    organisation: Organisation, *, key: str, reason: str, actor: User, ground: str | None = None
) -> LicenceRecord:
    """Write a version that retires a record and propose it in one act. Raises: as `retire`."""
    with transaction.atomic():
        row = retire(organisation, key=key, reason=reason, actor=actor, ground=ground)
        return propose(row, actor=actor)


def retire(
    organisation: Organisation, *, key: str, reason: str, actor: User, ground: str | None = None
) -> LicenceRecord:
    """Write a version that takes the organisation's record back, as a draft.

    What lies under it counts again once it is approved.
    Raises: RoleMissing; PreconditionFailed; BadInput (licence_invalid); Conflict
    (nothing_to_retire).
    """
    require(actor, organisation, PROPOSE)
    if faults := _reason_faults(reason):
        raise _invalid(*faults)
    with transaction.atomic():
        lock(organisation.pk)
        held = selectors.in_force(organisation).get(key)
        if held is None:
            raise Conflict(
                f"No record of {organisation.name} is in force for '{key}'.",
                code="nothing_to_retire",
            )
        return _create(
            organisation,
            key=key,
            change=LicenceRecord.Change.RETIRE,
            base_digest=_ground(organisation, key, ground),
            reason=reason.strip(),
            author=actor,
        )


def _sound(organisation: Organisation, text: str, reason: str) -> Checked:
    checked = read_fully(organisation, text)
    if faults := [*checked.faults, *_reason_faults(reason)]:
        raise _invalid(*faults)
    return checked


def _reason_faults(reason: str) -> list[PlacedFault]:
    if 0 < len(reason.strip()) <= _MAX_REASON:
        return []
    return [PlacedFault("reason", f"say why, in 1 to {_MAX_REASON} characters", None)]


def _invalid(*faults: PlacedFault) -> BadInput:
    """Make one error of all faults; `lines` has their lines, in the order of the input."""
    listed = [Fault(one.place, INVALID, str(one)) for one in faults]
    lines = [{"place": one.place, "line": one.line, "message": one.message} for one in faults]
    detail = " ".join(f"{one}." for one in faults)
    return BadInput(detail, code=INVALID, faults=listed, extra={"lines": lines})


def _create(organisation: Organisation, **fields: Any) -> LicenceRecord:
    rows = LicenceRecord.objects.filter(organisation=organisation, key=fields["key"])
    number = (rows.aggregate(newest=Max("number"))["newest"] or 0) + 1
    row: LicenceRecord = LicenceRecord.objects.create(
        organisation=organisation,
        number=number,
        author_name=fields["author"].username,
        **fields,
    )
    _note(row, "licence.drafted", fields["author"])
    return row


def propose(
    record: LicenceRecord, *, actor: User, version: int | None = None, now: datetime | None = None
) -> LicenceRecord:
    """Put a draft before the other reviewers. Raises: RoleMissing; Forbidden; StaleState."""
    require(actor, record.organisation, PROPOSE)
    with transaction.atomic():
        held = _hold(record, "proposed", actor, version)
        _move(held, _State.PROPOSED, proposed_at=now or timezone.now())
        _note(held, "licence.proposed", actor)
    return held


def withdraw(record: LicenceRecord, *, actor: User, version: int | None = None) -> LicenceRecord:
    """Take one's own draft or proposal back. Raises: RoleMissing; Forbidden; StaleState."""
    require(actor, record.organisation, PROPOSE)
    with transaction.atomic():
        held = _hold(record, "withdrawn", actor, version)
        _move(held, _State.WITHDRAWN)
        _note(held, "licence.withdrawn", actor)
    return held


def refuse(
    record: LicenceRecord,
    *,
    actor: User,
    reason: str,
    version: int | None = None,
    now: datetime | None = None,
) -> LicenceRecord:
    """Refuse somebody else's proposal, saying why.

    Raises: RoleMissing; SeparationOfDuties; StaleState; BadInput without a reason.
    """
    require(actor, record.organisation, DECIDE)
    if faults := _reason_faults(reason):
        raise _invalid(*faults)
    with transaction.atomic():
        held = _hold(record, "refused", actor, version)
        _decide(held, _State.REFUSED, actor, reason, now or timezone.now())
        _note(held, "licence.refused", actor, {"decision_reason": held.decision_reason})
    return held


def approve(
    record: LicenceRecord,
    *,
    actor: User,
    reason: str = "",
    version: int | None = None,
    now: datetime | None = None,
) -> LicenceRecord:
    """Put somebody else's proposal in force, and judge again whatever it touches.

    1. It must still replace what it was written to replace, and still be sound.
    2. The version in force is superseded, and this one takes its place.
    3. Every judgement on this licence or its family is made anew; approvals whose ground moved
       become stale. The sweep confirms all others under the new catalogue.

    Raises: RoleMissing; SeparationOfDuties; StaleState; BadInput (licence_invalid); Conflict.
    """
    require(actor, record.organisation, DECIDE)
    at = now or timezone.now()
    with suppress(BadInput):
        library_after(record)  # so that it is quick below, where others wait for the lock
    with transaction.atomic():
        held = _hold(record, "active", actor, version)
        _refuse_moved_ground(held)
        before = library_before(held.organisation)
        after = library_after(held)
        _refuse_lost_pins(held, after)
        _supersede(held, at)
        _decide(held, _State.ACTIVE, actor, reason[:_MAX_REASON], at)
        rows = touched(held, before, after, at)
        _note(
            held,
            "licence.activated",
            actor,
            {
                "decision_reason": held.decision_reason,
                "catalogue_before": before.digest,
                "catalogue_after": after.digest,
                "judgements_touched": len(rows),
            },
        )
        for row in rows:
            assess(row.checkpoint, row.use, actor=actor.username, now=at)
    return held


def _hold(
    record: LicenceRecord, state: rules.State, actor: User, version: int | None
) -> LicenceRecord:
    lock(record.organisation_id)
    held: LicenceRecord = LicenceRecord.objects.select_related("organisation", "author").get(
        pk=record.pk
    )
    if version is not None and held.version != version:
        raise StaleState(f"Version {held.number} of {held.key} was moved; read it again.")
    try:
        old: Any = held.state
        rules.check_move(old, state, author=held.author.username, person=actor.username)
    except rules.RecordError as error:
        said = f"Version {held.number} of {held.key}: {error}"
        if error.code == "own_proposal":
            raise SeparationOfDuties(said) from error
        if error.code == "not_the_author":
            raise Forbidden(said) from error
        raise StaleState(said) from error
    return held


def _move(held: LicenceRecord, state: str, **fields: Any) -> None:
    moved = LicenceRecord.objects.filter(pk=held.pk, state=held.state, version=held.version).update(
        state=state, version=F("version") + 1, **fields
    )
    if not moved:
        raise StaleState(f"Version {held.number} of {held.key} was moved by somebody else.")
    held.refresh_from_db()


def _decide(held: LicenceRecord, state: str, actor: User, reason: str, at: datetime) -> None:
    _move(
        held,
        state,
        decided_by=actor,
        decided_by_name=actor.username,
        decided_at=at,
        decision_reason=reason.strip(),
    )


def _refuse_moved_ground(held: LicenceRecord) -> None:
    under = selectors.digest_of(selectors.text_of(held.organisation, held.key))
    if under != held.base_digest:
        raise StaleState(
            f"What counts for '{held.key}' has changed since version {held.number} was written; "
            "write it again on what counts now."
        )


def _refuse_lost_pins(held: LicenceRecord, after: Library) -> None:
    """Keep a licence that a checkpoint is pinned to: without it nobody knows what governs."""
    if after.get(held.key) is not None:
        return
    pins = LicencePin.objects.filter(
        organisation=held.organisation_id, licence_key=held.key, is_active=True
    ).select_related("checkpoint__model")
    named = sorted({pin.checkpoint.model.name for pin in pins})
    if named:
        raise Conflict(
            f"'{held.key}' is pinned to {', '.join(named)}; pin another licence there first.",
            code="licence_pinned",
            extra={"models": named},
        )


def _supersede(held: LicenceRecord, at: datetime) -> None:
    LicenceRecord.objects.filter(
        organisation=held.organisation_id, key=held.key, state=_State.ACTIVE
    ).update(state=_State.SUPERSEDED, superseded_at=at, version=F("version") + 1)


def _note(
    record: LicenceRecord, action: str, actor: User, more: dict[str, Any] | None = None
) -> None:
    append(
        record.organisation,
        actor=actor.username,
        action=action,
        subject=record.key,
        payload={
            "record": str(record.pk),
            "licence": record.key,
            "version": record.number,
            "change": record.change,
            "digest": record.digest,
            "replaces": record.base_digest,
            "author": record.author_name,
            "reason": record.reason,
            **(more or {}),
        },
    )
