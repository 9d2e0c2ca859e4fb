"""Check who may deploy what, and that changes of one version happen once."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compliance.models import Review
from deployer import services
from deployer.models import Deployment, Endpoint, EndpointKey, Target
from registry.errors import BadInput, Conflict, Duplicate, StaleState, StandingEnded, Unprocessable
from registry.models import Checkpoint, LedgerEntry, OutboxEvent
from tests.build import (
    Cast,
    make_approval,
    make_cast,
    make_checkpoint,
    make_endpoint,
    make_target,
)
from tests.deployer.standing import end_standing

pytestmark = pytest.mark.django_db
NANO_9B = Path("demo/metadata/nvidia-nemotron-nano-9b-v2/config.json")


@pytest.fixture
def cast(keys: Path) -> Cast:
    return make_cast()


@pytest.fixture
def checkpoint(cast: Cast) -> Checkpoint:
    return make_checkpoint(cast, "acme/model")


@pytest.fixture
def target(cast: Cast) -> Target:
    return make_target(cast)


def deploy(cast: Cast, checkpoint: Checkpoint, target: Target, **fields: Any) -> Endpoint:
    values: dict[str, Any] = {
        "name": "chat",
        "review": None,
        "reasoning_policy": {},
        "replicas": 1,
        "actor": cast.operator,
    }
    return services.deploy(
        cast.organisation, checkpoint=checkpoint, target=target, **{**values, **fields}
    )


def refusal(kind: type[Exception], cast: Cast, *args: Any, **fields: Any) -> Any:
    """Deploy, and return the error after checking that nothing was written."""
    before = LedgerEntry.objects.count()
    with pytest.raises(kind) as caught:
        deploy(cast, *args, **fields)
    assert not Endpoint.objects.exists()
    assert not Deployment.objects.exists()
    assert LedgerEntry.objects.count() == before
    return caught.value


def test_an_approved_checkpoint_is_deployed_with_its_record(
    cast: Cast, checkpoint: Checkpoint, target: Target
) -> None:
    review = make_approval(cast, checkpoint)
    endpoint = deploy(cast, checkpoint, target, review=review, replicas=2)

    assert (endpoint.desired, endpoint.desired_replicas, endpoint.generation) == ("running", 2, 1)
    (record,) = Deployment.objects.all()
    assert (record.review, record.checkpoint, record.requested_by) == (
        review,
        checkpoint,
        cast.operator,
    )
    entry = LedgerEntry.objects.get(action="endpoint.created")
    assert (entry.actor, entry.subject) == ("acme-olga", "chat")
    assert entry.payload["review"] == str(review.pk)
    assert OutboxEvent.objects.get(topic="desired_changed").key == str(endpoint.pk)


def test_without_an_approval_nothing_is_deployed(
    cast: Cast, checkpoint: Checkpoint, target: Target
) -> None:
    assert refusal(Conflict, cast, checkpoint, target).code == "not_approved"


@pytest.mark.parametrize("state", ["open", "refused", "stale", "withdrawn"])
def test_a_review_in_any_other_state_is_no_approval(
    cast: Cast, checkpoint: Checkpoint, target: Target, state: str
) -> None:
    review = make_approval(cast, checkpoint)
    Review.objects.update(state=state)

    assert refusal(Conflict, cast, checkpoint, target, review=review).code == "not_approved"


def test_an_expired_approval_is_none(cast: Cast, checkpoint: Checkpoint, target: Target) -> None:
    review = make_approval(cast, checkpoint)
    Review.objects.update(expires_at=timezone.now())

    assert refusal(Conflict, cast, checkpoint, target, review=review).code == "not_approved"


def test_the_approval_of_another_checkpoint_is_none(
    cast: Cast, checkpoint: Checkpoint, target: Target
) -> None:
    review = make_approval(cast, make_checkpoint(cast, "acme/other"))

    assert refusal(Conflict, cast, checkpoint, target, review=review).code == "not_approved"


def test_what_has_no_weights_cannot_be_served(cast: Cast, target: Target) -> None:
    bare = make_checkpoint(cast, "acme/bare", kind="metadata")
    error = refusal(Unprocessable, cast, bare, target, review=make_approval(cast, bare))

    assert error.code == "no_weights"


def test_what_does_not_fit_is_refused_with_the_numbers(cast: Cast, checkpoint: Checkpoint) -> None:
    config = json.loads(NANO_9B.read_text()) | {"max_position_embeddings": 131_072}
    # Eight times the layers of the real one: far beyond 24 GB.
    config["hybrid_override_pattern"] *= 8
    config["num_hidden_layers"] *= 8
    checkpoint.config = config
    checkpoint.save()
    small = make_target(cast, "small", gpu="a10g")
    error = refusal(Unprocessable, cast, checkpoint, small, review=make_approval(cast, checkpoint))

    assert error.code == "does_not_fit"
    plan = error.extra["plan"]
    assert plan["needed_bytes"] > plan["budget_bytes"] > 0
    assert f"{plan['needed_bytes']:,}" in error.detail
    assert f"{plan['budget_bytes']:,}" in error.detail


def test_what_fits_keeps_the_plan_that_proves_it(cast: Cast, checkpoint: Checkpoint) -> None:
    checkpoint.config = json.loads(NANO_9B.read_text())
    checkpoint.save()
    big = make_target(cast, "big", gpu="h100-80gb")
    deploy(cast, checkpoint, big, review=make_approval(cast, checkpoint))

    plan = Deployment.objects.get().memory_plan
    assert plan["needed_bytes"] <= plan["budget_bytes"]


def test_an_ended_licence_outranks_the_approval(
    cast: Cast, checkpoint: Checkpoint, target: Target
) -> None:
    review = make_approval(cast, checkpoint)
    cause = end_standing(checkpoint)

    error = refusal(StandingEnded, cast, checkpoint, target, review=review)

    assert error.status == 451
    assert error.extra == cause


@pytest.mark.parametrize(
    "policy", [{"mode": "sometimes"}, {"budget": 1}, {"max_budget_tokens": -1}]
)
def test_a_reasoning_policy_that_makes_no_sense_is_refused(
    cast: Cast, checkpoint: Checkpoint, target: Target, policy: dict[str, Any]
) -> None:
    review = make_approval(cast, checkpoint)
    error = refusal(BadInput, cast, checkpoint, target, review=review, reasoning_policy=policy)

    assert error.code == "bad_reasoning_policy"


def test_a_name_is_taken_once_in_an_organisation(cast: Cast, checkpoint: Checkpoint) -> None:
    endpoint = make_endpoint(cast, checkpoint)

    with pytest.raises(Duplicate):
        deploy(cast, checkpoint, endpoint.target, review=endpoint.review)
    other = make_endpoint(make_cast("other"))

    assert (other.name, Endpoint.objects.count()) == (endpoint.name, 2)


def test_a_target_is_checked_and_named_once(cast: Cast) -> None:
    make_target(cast, "one", gpu="a10g")

    with pytest.raises(Duplicate):
        make_target(cast, "one")
    with pytest.raises(BadInput):
        make_target(cast, "two", gpu="abacus")
    assert Target.objects.count() == 1


def test_of_two_changes_of_one_version_the_second_is_refused(cast: Cast) -> None:
    endpoint = make_endpoint(cast)
    stale = Endpoint.objects.get()
    services.change(endpoint, version=1, actor=cast.operator, replicas=3)

    with pytest.raises(StaleState):
        services.change(stale, version=1, actor=cast.operator, replicas=5)

    endpoint.refresh_from_db()
    assert (endpoint.desired_replicas, endpoint.version, endpoint.generation) == (3, 2, 2)
    assert Deployment.objects.count() == 2


def test_a_change_to_an_unapproved_checkpoint_changes_nothing(cast: Cast) -> None:
    endpoint = make_endpoint(cast)
    unapproved = make_checkpoint(cast, "acme/new")

    with pytest.raises(Conflict) as caught:
        services.change(endpoint, version=1, actor=cast.operator, checkpoint=unapproved)

    assert caught.value.code == "not_approved"
    endpoint.refresh_from_db()
    assert (endpoint.checkpoint.model.name, endpoint.version) == ("acme/model", 1)


def test_stopping_twice_is_one_act_and_never_turns_the_version_back(cast: Cast) -> None:
    endpoint = make_endpoint(cast)
    stale = Endpoint.objects.get()
    for _ in range(3):
        endpoint = services.change(endpoint, version=endpoint.version, actor=cast.operator)
    assert endpoint.version == 4

    services.stop(stale, actor=cast.operator)
    services.stop(stale, actor=cast.operator)

    endpoint.refresh_from_db()
    assert (endpoint.desired, endpoint.version) == ("stopped", 5)
    assert LedgerEntry.objects.filter(action="endpoint.stopped").count() == 1


def test_a_key_is_kept_as_its_hash_and_ends_once(cast: Cast) -> None:
    key, secret = services.issue_key(make_endpoint(cast), name="app", actor=cast.operator)

    assert secret.startswith("lek_")
    assert secret.startswith(key.prefix)
    row = EndpointKey.objects.get()
    assert secret not in str(row.__dict__)
    assert secret not in str(list(LedgerEntry.objects.values()))
    services.revoke_key(row, actor=cast.operator)
    services.revoke_key(row, actor=cast.operator)
    assert EndpointKey.objects.get().revoked_at is not None
    assert LedgerEntry.objects.filter(action="endpoint_key.revoked").count() == 1
