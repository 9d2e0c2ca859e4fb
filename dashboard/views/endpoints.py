"""Show endpoints and their replicas, and let a person talk to one."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from dashboard.access import MemberRequest, may, member_page
from dashboard.playground import playground_key
from deployer import services
from deployer.models import Endpoint
from registry.errors import LictorError

_KEY_TRIES, _KEY_WAIT_SECONDS = 6, 0.5
_ALLOWED = {"messages", "reasoning", "max_tokens", "temperature"}


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List the organisation's endpoints."""
    rows = Endpoint.objects.for_org(request.organisation).select_related(
        "checkpoint__model", "target"
    )
    return render(request, "dashboard/endpoints.html", {"endpoints": rows})


@member_page
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show desired against observed state, and the playground."""
    rows = Endpoint.objects.for_org(request.organisation).select_related("guard")
    endpoint = get_object_or_404(rows, pk=pk)
    playground_key(endpoint)  # now, so that the gateway knows it when the first question comes
    page = {
        "endpoint": endpoint,
        "replicas": endpoint.replicas.all(),
        "deployments": endpoint.deployments.select_related("checkpoint__model"),
        "gateway": settings.LICTOR_GATEWAY_URL,
        "may_stop": may(request, "endpoint.stop"),
    }
    return render(request, "dashboard/endpoint.html", page)


@member_page
@require_POST
def stop(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Stop an endpoint; starting it again is a new deployment."""
    endpoint = get_object_or_404(Endpoint.objects.for_org(request.organisation), pk=pk)
    try:
        if may(request, "endpoint.stop"):
            services.stop(endpoint, actor=request.user)
        else:
            messages.error(request, "Your roles do not let you stop endpoints.")
    except LictorError as error:
        messages.error(request, error.detail)
    return redirect("dashboard:endpoint", pk)


@member_page
@require_POST
def chat(request: MemberRequest, pk: UUID) -> HttpResponseBase:
    """Pass one chat request on to the gateway and stream the answer back.

    The playground goes through the same gateway, key check and permit as every other client.
    """
    endpoint = get_object_or_404(Endpoint.objects.for_org(request.organisation), pk=pk)
    try:
        asked = json.loads(request.body)
        body = {name: asked[name] for name in _ALLOWED & set(asked)}
    except (ValueError, TypeError):
        return JsonResponse({"title": "The request is not JSON", "status": 400}, status=400)
    body |= {"model": endpoint.name, "stream": True, "stream_options": {"include_usage": True}}
    client = httpx.Client(timeout=httpx.Timeout(60, connect=5))
    try:
        answer = _ask(client, body, playground_key(endpoint))
    except httpx.HTTPError as error:
        client.close()
        return JsonResponse(
            {"title": "The gateway does not answer", "detail": str(error), "status": 503},
            status=503,
        )
    if answer.is_error:
        content = answer.read()
        client.close()
        return HttpResponse(content, status=answer.status_code, content_type="application/json")
    return StreamingHttpResponse(_relay(client, answer), content_type="text/event-stream")


def _ask(client: httpx.Client, body: dict[str, Any], key: str) -> httpx.Response:
    """Send the request; the gateway learns of a key that was just made within a second or two."""
    url = f"{settings.LICTOR_GATEWAY_URL}/v1/chat/completions"
    headers = {"Authorization": f"Bearer {key}"}
    for _ in range(_KEY_TRIES):
        call = client.build_request("POST", url, json=body, headers=headers)
        answer = client.send(call, stream=True)
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return answer
        answer.close()
        time.sleep(_KEY_WAIT_SECONDS)
    return client.send(client.build_request("POST", url, json=body, headers=headers), stream=True)


def _relay(client: httpx.Client, answer: httpx.Response) -> Iterator[bytes]:
    try:
        yield from answer.iter_raw()
    except httpx.HTTPError as error:
        yield b"data: " + json.dumps({"error": {"title": str(error)}}).encode() + b"\n\n"
    finally:
        answer.close()
        client.close()
