"""Check inside a service that a person may do the act, whoever called the service."""

from uuid import UUID

from registry.errors import RoleMissing
from registry.models import Membership, Organisation, User
from registry.roles import can


def require(actor: User, organisation: Organisation, action: str) -> None:
    """Let pass who holds a role for the action in this very organisation.

    Raises: RoleMissing.
    """
    row = Membership.objects.for_org(organisation).filter(user=actor).first()
    if row is None or not actor.is_active or not can(row.roles, action):
        raise RoleMissing(
            f"{actor.username} holds no role that allows {action!r} in {organisation.name}; ask an "
            "administrator of the organisation."
        )


def lock(organisation_id: UUID) -> Organisation:
    """Take the organisation's lock: judging, reviewing and standing of one tenant go in turn.

    Taken before the ledger's, everywhere, so that two acts never wait for each other. NO KEY keeps
    out of the way of inserts that merely refer to the organisation.
    """
    return Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)
