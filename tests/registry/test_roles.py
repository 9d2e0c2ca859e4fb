import pytest

from registry.roles import (
    ACTIONS,
    AUDITOR,
    LEGAL_REVIEWER,
    OPERATOR,
    ORG_ADMIN,
    ROLES,
    SECURITY_REVIEWER,
    SUBMITTER,
    TABLE,
    VIEWER,
    actions_of,
    can,
)

APPROVALS = {"review.decide.legal", "review.decide.security", "waiver.grant", "licence.pin"}
CHANGES = {action for action in ACTIONS if not action.endswith((".read", ".export", ".what_if"))}


@pytest.mark.parametrize("role", [VIEWER, SUBMITTER, OPERATOR, AUDITOR, ORG_ADMIN])
def test_only_reviewers_can_approve_anything(role: str) -> None:
    assert actions_of([role]) & APPROVALS == set()


def test_each_reviewer_decides_only_their_own_stage() -> None:
    assert can([LEGAL_REVIEWER], "review.decide.legal")
    assert not can([LEGAL_REVIEWER], "review.decide.security")
    assert can([SECURITY_REVIEWER], "review.decide.security")
    assert not can([SECURITY_REVIEWER], "review.decide.legal")


def test_anyone_of_legal_can_stand_down_alone() -> None:
    assert can([LEGAL_REVIEWER], "matter.declare")
    assert can([LEGAL_REVIEWER], "standing.end")


def test_no_reviewer_can_deploy_and_no_operator_can_judge() -> None:
    assert not can([LEGAL_REVIEWER, SECURITY_REVIEWER], "endpoint.deploy")
    assert can([OPERATOR], "endpoint.deploy")
    assert not can([OPERATOR], "matter.declare")


@pytest.mark.parametrize("role", [VIEWER, AUDITOR])
def test_viewers_and_auditors_change_nothing(role: str) -> None:
    assert actions_of([role]) & CHANGES == set()


def test_an_auditor_reads_the_ledger_and_a_viewer_does_not() -> None:
    assert can([AUDITOR], "ledger.read")
    assert not can([VIEWER], "ledger.read")


def test_roles_add_up() -> None:
    assert not can([SUBMITTER], "endpoint.deploy")
    assert can([SUBMITTER, OPERATOR], "endpoint.deploy")


def test_an_unknown_role_or_none_allows_nothing() -> None:
    assert not can(["superuser"], "checkpoint.read")
    assert not can([], "checkpoint.read")
    assert not can([], "token.manage_own")
    assert actions_of(["superuser"]) == frozenset()


def test_every_member_manages_their_own_tokens() -> None:
    assert [role for role in ROLES if not can([role], "token.manage_own")] == []


def test_a_misspelt_action_is_an_error_and_not_a_refusal() -> None:
    with pytest.raises(ValueError, match=r"reviews\.decide"):
        can([LEGAL_REVIEWER], "reviews.decide")


def test_the_table_knows_exactly_the_roles() -> None:
    assert set(TABLE) == set(ROLES)
