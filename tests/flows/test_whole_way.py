"""The main job, end to end: each step of the demo raises unless it really held."""

import httpx
import pytest

from demo import run
from demo.client import ApiError
from demo.steps.registering import register_one
from demo.steps.stage import Stage
from demo.use import BASE, USE

pytestmark = [pytest.mark.flow, pytest.mark.slow]


def test_every_step_of_the_demo_holds(stage: Stage):
    for walk in run.STEPS:
        walk(stage)

    seen = stage.olga.get(f"endpoints/{stage.endpoints['nano-base']['id']}/")
    assert seen["ended"]["status"] == 451


def test_nothing_is_deployed_without_an_approval(stage: Stage):
    register_one(stage, BASE)
    stage.olga.post("targets/", {"name": "this-host", "kind": "local", "gpu": "cpu"})
    body = {
        "name": "too-early",
        "checkpoint": stage.checkpoints[BASE]["id"],
        "target": "this-host",
        "use": USE,
    }

    with pytest.raises(ApiError) as refused:
        stage.olga.post("endpoints/", body)

    assert refused.value.status == 409
    assert refused.value.body["code"] == "not_approved"


def test_a_request_without_a_key_is_refused(stage: Stage):
    answer = httpx.post(
        f"{stage.stack.gateway_url}/v1/chat/completions", json={"model": "any", "messages": []}
    )

    assert answer.status_code == 401


def test_a_request_without_a_token_is_refused(stage: Stage):
    answer = httpx.get(f"{stage.stack.web_url}/api/v1/checkpoints/")

    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")
