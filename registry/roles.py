"""Say which role may do what: one table and one question.

Anyone not named may not. Two laws are kept by the shape of the table and by its tests: who runs
endpoints and who administers people can approve nothing, and ending a right needs fewer people
than granting one. That the submitter and the approver are two people depends on the checkpoint,
not on the role, and is checked where the decision is made.
"""

from collections.abc import Iterable
from typing import Final

VIEWER: Final = "viewer"
SUBMITTER: Final = "submitter"
LEGAL_REVIEWER: Final = "legal_reviewer"
SECURITY_REVIEWER: Final = "security_reviewer"
OPERATOR: Final = "operator"
AUDITOR: Final = "auditor"
ORG_ADMIN: Final = "org_admin"

ROLES: Final = (
    VIEWER,
    SUBMITTER,
    LEGAL_REVIEWER,
    SECURITY_REVIEWER,
    OPERATOR,
    AUDITOR,
    ORG_ADMIN,
)

_READ: Final = frozenset(
    {
        "model.read",
        "checkpoint.read",
        "licence.read",
        "policy.read",
        "assessment.read",
        "review.read",
        "duty.read",
        "endpoint.read",
        "guard.read",
    }
)

TABLE: Final[dict[str, frozenset[str]]] = {
    VIEWER: _READ,
    SUBMITTER: _READ
    | {
        "checkpoint.register",
        "lineage.declare",
        "evidence.attach",
        "assessment.request",
        "review.request",
        "duty.prove",
    },
    LEGAL_REVIEWER: _READ
    | {
        "review.decide.legal",
        "review.comment",
        "evidence.attach",
        "evidence.confirm.legal",
        "assessment.request",
        "waiver.grant",
        "waiver.revoke",
        "licence.pin",
        "duty.plan",
        "duty.prove",
        "policy.write",
        "policy.activate",
        "matter.read",
        "matter.what_if",
        "matter.declare",
        "matter.withdraw",
        "standing.end",
        "ledger.read",
    },
    SECURITY_REVIEWER: _READ
    | {
        "review.decide.security",
        "review.comment",
        "evidence.attach",
        "evidence.confirm.security",
        "duty.plan",
        "duty.prove",
        "policy.write",
        "policy.activate",
        "assessment.request",
        "standing.end",
        "guard.manage",
    },
    OPERATOR: _READ
    | {
        "target.manage",
        "endpoint.deploy",
        "endpoint.stop",
        "endpoint.policy",
        "endpoint_key.manage",
    },
    AUDITOR: _READ | {"matter.read", "ledger.read", "ledger.export"},
    ORG_ADMIN: _READ | {"token.manage", "member.manage", "organisation.manage", "endpoint.stop"},
}

ACTIONS: Final = frozenset().union(*TABLE.values())

# Everybody may look after their own tokens; an administrator may look after all of them.
OWN_ACTIONS: Final = frozenset({"token.manage_own"})


def can(roles: Iterable[str], action: str) -> bool:
    """Tell whether any of these roles allows the action; an unknown role allows nothing.

    Raises: ValueError for an action that no role has, because a misspelt action would
    otherwise be a refusal that nobody can explain.
    """
    held = [role for role in roles if role in TABLE]
    if action in OWN_ACTIONS:
        return bool(held)
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; registry/roles.py lists the actions")
    return any(action in TABLE[role] for role in held)


def actions_of(roles: Iterable[str]) -> frozenset[str]:
    """Collect everything that these roles allow together."""
    granted = [TABLE[role] for role in roles if role in TABLE]
    return frozenset().union(*granted, OWN_ACTIONS if granted else ())
