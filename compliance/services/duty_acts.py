"""What people do with duties: take one, plan it, prove it done."""

from datetime import date, datetime

from django.db import transaction
from django.utils import timezone

from compliance.models import Duty, Evidence
from compliance.pages import is_allowed
from compliance.services.duties import _finish, _note, follow
from compliance.services.evidence import attest
from compliance.services.people import lock, require
from registry.errors import BadInput, StaleState
from registry.models import Membership, User

_NOTE_MAX = 500


def plan(
    duty: Duty,
    *,
    actor: User,
    owner: User | None = None,
    due_on: date | None = None,
    page_url: str | None = None,
    now: datetime | None = None,
) -> Duty:
    """Say who does it, until when, and on which page its words can be seen; None leaves as it is.

    Raises: RoleMissing; BadInput (duty_invalid); StaleState for a duty that lapsed.
    """
    require(actor, duty.organisation, "duty.plan")
    today = (now or timezone.now()).date()
    changes: dict[str, object] = {}
    if owner is not None:
        if not Membership.objects.filter(organisation=duty.organisation, user=owner).exists():
            raise BadInput("The owner is no member.", code="duty_invalid", place="owner")
        changes |= {"owner": owner, "owner_name": owner.username}
    if due_on is not None:
        if due_on < today:
            raise BadInput("The day is over.", code="duty_invalid", place="due_on")
        changes["due_on"] = due_on
    if page_url is not None:
        if page_url and not is_allowed(page_url):
            raise BadInput(
                "Its host is not in LICTOR_PAGE_HOSTS, so the server does not read it.",
                code="duty_invalid",
                place="page_url",
            )
        changes["page_url"] = page_url
    with transaction.atomic():
        lock(duty.organisation_id)
        live = Duty.objects.filter(pk=duty.pk, version=duty.version).exclude(
            state=Duty.State.LAPSED
        )
        if not live.update(version=duty.version + 1, **changes):
            raise StaleState("The duty changed or lapsed meanwhile; look at it again.")
        row = _read(duty)
        _note(row, "duty.planned", by=actor.username, note=f"due {row.due_on}")
    return row


def prove(duty: Duty, *, note: str, actor: User, now: datetime | None = None) -> Duty:
    """State that a duty is done, and what that rests on.

    Where the rules read evidence, the statement becomes a signed attestation, and the use is
    judged again with it. What a machine checks, no statement settles.
    Raises: RoleMissing; BadInput (duty_invalid); StaleState when it is not open.
    """
    require(actor, duty.organisation, "duty.prove")
    at, words = now or timezone.now(), note.strip()
    if not 1 <= len(words) <= _NOTE_MAX:
        raise BadInput(
            f"Say in 1 to {_NOTE_MAX} characters what was done and where one can see it.",
            code="duty_invalid",
            place="note",
        )
    if duty.check_by == "files":
        raise BadInput(
            "The files themselves settle this; register a checkpoint that carries them.",
            code="duty_invalid",
            place="note",
        )
    with transaction.atomic():
        lock(duty.organisation_id)
        if not Duty.objects.filter(
            pk=duty.pk, version=duty.version, state=Duty.State.OPEN
        ).exists():
            raise StaleState("The duty is not open any more; look at it again.")
        proof = _attested(duty, words, actor, at)
        if proof is not None:
            Duty.objects.filter(pk=duty.pk).update(proof=proof)
        _finish(duty, by=actor.username, now=at, note=words)
        follow(duty.review, now=at)
    return _read(duty)


def _attested(duty: Duty, note: str, actor: User, now: datetime) -> Evidence | None:
    if not duty.proof_kind:
        return None
    return attest(
        duty.checkpoint,
        kind=duty.proof_kind,
        result="confirmed",
        summary=note,
        actor=actor,
        now=now,
    )


def _read(duty: Duty) -> Duty:
    row: Duty = Duty.objects.select_related("organisation", "checkpoint__model", "review").get(
        pk=duty.pk
    )
    return row
