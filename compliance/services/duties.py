"""Keep the duties of approved uses in step with their judgements, and look at what can be seen.

Only an approved use brings duties: before that, what a licence asks for is a finding. `follow` is
safe to run at any time; a judgement that changed nothing writes nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from compliance.models import Assessment, Duty, DutyRound, Review
from compliance.pages import PageUnreadable, read_page
from compliance.rules import duties as rules
from compliance.rules.assessment import EvidenceRef, Finding
from compliance.rules.catalogue import Library
from compliance.selectors_licences import library_for
from compliance.services.evidence import record
from compliance.services.people import lock
from registry import storage
from registry.errors import LictorError
from registry.ledger.append import append
from registry.models import Checkpoint

BY = "system:duties"
_TEXT_LIMIT = 1 << 20


def follow(review: Review, *, now: datetime | None = None) -> int:
    """Bring one approved review's duties in step; return how many rows changed."""
    at = now or timezone.now()
    with transaction.atomic():
        organisation = lock(review.organisation_id)
        row = _current(review)
        live = review.state == Review.State.APPROVED and row is not None
        asked = _asked(row, library_for(organisation)) if live and row is not None else {}
        held = {duty.key: duty for duty in Duty.objects.filter(review=review)}
        changed = sum(_put(review, duty, held.get(key), at) for key, duty in asked.items())
        for key, duty in held.items():
            if key not in asked and duty.state != Duty.State.LAPSED:
                changed += _move(duty, Duty.State.LAPSED, by=BY, because="no longer asked for")
        if live and row is not None:
            DutyRound.objects.update_or_create(
                review=review, defaults={"organisation": organisation, "assessment": row}
            )
        else:
            DutyRound.objects.filter(review=review).delete()
    return changed


def _current(review: Review) -> Assessment | None:
    rows = Assessment.objects.filter(
        checkpoint=review.checkpoint_id, use_digest=review.use_digest, is_current=True
    )
    return rows.first()


def _asked(row: Assessment, library: Library) -> dict[str, rules.Duty]:
    findings = [finding_of(one) for one in row.report["findings"]]
    asked = rules.duties_of(findings, library, subject=row.report["subject"])
    return {duty.key: duty for duty in asked}


def finding_of(told: Mapping[str, Any]) -> Finding:
    """Read a finding back from a stored report."""
    fields = dict(told)
    fields["path"] = tuple(told["path"])
    fields["evidence"] = tuple(EvidenceRef(**one) for one in told["evidence"])
    return Finding(**fields)


def _put(review: Review, duty: rules.Duty, held: Duty | None, now: datetime) -> int:
    told = _told(duty)
    if held is None:
        row = Duty.objects.create(
            organisation_id=review.organisation_id,
            checkpoint_id=review.checkpoint_id,
            review=review,
            key=duty.key,
            state=Duty.State.DONE if duty.done else Duty.State.OPEN,
            due_on=now.date() + timedelta(days=duty.due_days),
            done_at=now if duty.done else None,
            done_by_name=BY if duty.done else "",
            **told,
        )
        _note(row, "duty.opened" if not duty.done else "duty.seen_done", by=BY)
        return 1
    if any(getattr(held, name) != value for name, value in told.items()):
        Duty.objects.filter(pk=held.pk).update(**told)
    if duty.done and held.state == Duty.State.OPEN and held.proof_kind:
        # Its proof arrived as evidence, through this page or another.
        return _finish(held, by=BY, now=now, note="")
    if not duty.done and held.state != Duty.State.OPEN and not _is_kept_by_people(held, now.date()):
        return _reopen(held, now)
    return 0


def _told(duty: rules.Duty) -> dict[str, Any]:
    return {
        "rule": duty.rule,
        "licence_key": duty.licence,
        "section": duty.section,
        "quote": duty.quote,
        "model_name": duty.model,
        "what": duty.what,
        "because": duty.because,
        "remedy": duty.remedy or "",
        "check_by": duty.check,
        "proof_kind": duty.proof or "",
        "words": list(duty.words),
        "recurs_days": duty.recurs_days,
    }


def _is_kept_by_people(held: Duty, today: date) -> bool:
    """Say whether a person's word stands: the rules read no evidence for it, and it is not due."""
    if held.state != Duty.State.DONE or held.proof_kind:
        return False
    return held.recurs_days is None or held.due_on > today


def _finish(held: Duty, *, by: str, now: datetime, note: str) -> int:
    due = held.due_on
    if held.recurs_days:
        due = now.date() + timedelta(days=held.recurs_days)
    moved = Duty.objects.filter(pk=held.pk, state=Duty.State.OPEN, version=held.version).update(
        state=Duty.State.DONE,
        version=held.version + 1,
        done_at=now,
        done_by_name=by,
        note=note,
        due_on=due,
    )
    if moved:
        _note(held, "duty.done", by=by, note=note)
    return moved


def _reopen(held: Duty, now: datetime) -> int:
    moved = Duty.objects.filter(pk=held.pk, version=held.version).update(
        state=Duty.State.OPEN,
        version=held.version + 1,
        done_at=None,
        done_by_name="",
        due_on=now.date() + timedelta(days=rules.DUE_DAYS),
    )
    if moved:
        _note(held, "duty.reopened", by=BY)
    return moved


def _move(held: Duty, state: str, *, by: str, because: str) -> int:
    moved = Duty.objects.filter(pk=held.pk, version=held.version).update(
        state=state, version=held.version + 1
    )
    if moved:
        _note(held, f"duty.{state}", by=by, note=because)
    return moved


def _note(row: Duty, action: str, *, by: str, note: str = "") -> None:
    append(
        row.organisation,
        actor=by,
        action=action,
        subject=row.checkpoint.digest,
        payload={
            "duty": str(row.pk),
            "rule": row.rule,
            "licence": row.licence_key,
            "section": row.section,
            "owner": row.owner_name,
            "note": note,
        },
    )


def open_again(rows: Iterable[Duty], *, now: datetime) -> int:
    """Open duties that were done and fall due again."""
    done = 0
    for row in rows:
        with transaction.atomic():
            lock(row.organisation_id)
            done += _reopen(row, now)
    return done


def look(row: Duty, *, now: datetime | None = None) -> rules.Seen:
    """Look at what a machine can see of one duty, and write down what it saw.

    A page that shows its words is evidence of its own, and so is one that lost them.
    """
    at = now or timezone.now()
    seen = _see(row)
    Duty.objects.filter(pk=row.pk).update(
        seen_kept=seen.kept, seen_because=seen.because, seen_at=at
    )
    if row.check_by == "page" and seen.kept is not None and seen.kept != row.seen_kept:
        result = "confirmed" if seen.kept else "missing"
        record(
            row.checkpoint,
            kind=row.proof_kind,
            result=result,
            method="measured",
            summary=seen.because,
            body={"page": row.page_url, "words": row.words},
            by=BY,
            now=at,
        )
    elif row.check_by == "files" and seen.kept and row.state == Duty.State.OPEN:
        with transaction.atomic():
            lock(row.organisation_id)
            _finish(row, by=BY, now=at, note=seen.because)
    return seen


def _see(row: Duty) -> rules.Seen:
    duty = rules.Look(rule=row.rule, words=tuple(row.words))
    if row.check_by == "files":
        try:
            return rules.see_files(duty, texts_of(row.checkpoint))
        except LictorError as error:
            return rules.Seen(None, error.detail)
    if row.check_by == "page" and row.page_url:
        try:
            return rules.see_page(duty, read_page(row.page_url))
        except PageUnreadable as error:
            return rules.Seen(None, str(error))
    return rules.Seen(None, "A person has to look.")


def texts_of(checkpoint: Checkpoint) -> dict[str, str | None]:
    """Read the files of a checkpoint whose names say that they state terms; None is no text."""
    found: dict[str, str | None] = {}
    for item in checkpoint.manifest.get("files", ()):
        name = str(item["path"])
        if not name.rsplit("/", 1)[-1].casefold().startswith(_TERMS):
            continue
        raw = storage.read_bytes(checkpoint, name, limit=_TEXT_LIMIT)
        try:
            found[name] = None if raw is None else raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            found[name] = None
    return found


_TERMS = ("licen", "copying", "notice", "copyright", "authors")
