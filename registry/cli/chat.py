"""`lictor chat`: ask an endpoint through the gateway, streamed."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import BadRequest, CommandFailed, plain, problem_of
from registry.cli.output import print_json

if TYPE_CHECKING:
    import httpx


@click.command()
@click.argument("endpoint", metavar="ENDPOINT")
@click.argument("message", metavar="MESSAGE")
@click.option("--url", envvar="LICTOR_GATEWAY", help="The gateway; else LICTOR_GATEWAY.")
@click.option("--key", envvar="LICTOR_KEY", help="The endpoint's key; else LICTOR_KEY.")
@click.option(
    "--reasoning", type=click.Choice(["on", "off", "auto"]), default="auto", show_default=True
)
@click.option("--budget", type=click.IntRange(min=0), help="Most tokens of thought.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens in all.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print thought and answer as JSON at the end."
)
def chat(
    endpoint: str,
    message: str,
    url: str | None,
    key: str | None,
    reasoning: str,
    budget: int | None,
    max_tokens: int | None,
    as_json: bool,
) -> None:
    """Ask a served model: the answer streams to stdout, its thought dimmed to stderr.

    \b
    MESSAGE "-" reads it from stdin. Where a licence ended, the clause is printed.
    Example:  lictor chat chat --reasoning on --budget 256 "What is 17 times 23?"
    """
    from registry.cli.client import checked_secret, checked_url

    missing = [name for name, value in (("--url", url), ("--key", key)) if not value]
    if not url or not key:
        raise BadRequest(
            f"{' and '.join(missing)} must be given.",
            "Or set LICTOR_GATEWAY, and LICTOR_KEY from `lictor endpoint key ENDPOINT`.",
        )
    text = sys.stdin.read() if message == "-" else message
    wish = {"mode": reasoning, "max_tokens": budget}
    body: dict[str, Any] = {
        "model": endpoint,
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "reasoning": {name: value for name, value in wish.items() if value is not None},
    }
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    gateway, secret = checked_url(url, "the gateway"), checked_secret(key, "the key")
    reply = Reply(quiet=as_json)
    try:
        _ask(gateway, secret, body, reply)
    finally:
        reply.close()
    if as_json:
        print_json(reply.to_json())


@dataclass
class Reply:
    """Gather what is streamed, and show it as it comes unless `quiet`."""

    quiet: bool
    thought: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    finish_reason: str | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            self._think(delta.get("reasoning") or delta.get("reasoning_content") or "")
            self._say(delta.get("content") or "")
            self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def close(self) -> None:
        if not self.quiet and self.answer:
            click.echo()

    def to_json(self) -> dict[str, Any]:
        return {
            "reasoning": "".join(self.thought),
            "content": "".join(self.answer),
            "finish_reason": self.finish_reason,
        }

    def _think(self, text: str) -> None:
        if text:
            self.thought.append(text)
            if not self.quiet:
                click.secho(plain(text), dim=True, nl=False, err=True)

    def _say(self, text: str) -> None:
        if not text:
            return
        if not self.quiet:
            if self.thought and not self.answer:
                click.echo(err=True)
            # A terminal obeys no model; --json gives the text as it came.
            click.echo(plain(text), nl=False)
        self.answer.append(text)


def _ask(gateway: str, key: str, body: dict[str, Any], reply: Reply) -> None:
    import httpx

    from registry.cli.client import TIMEOUT, reaching, refusal_of

    headers = {"Authorization": f"Bearer {key}"}
    with (
        reaching(gateway),
        httpx.Client(timeout=TIMEOUT, headers=headers) as http,
        http.stream("POST", f"{gateway}/v1/chat/completions", json=body) as response,
    ):
        if not response.is_success:
            response.read()
            raise refusal_of(response)
        for chunk in _events(response):
            reply.add(chunk)


def _events(response: "httpx.Response") -> Iterator[dict[str, Any]]:
    """Yield the events of a stream. Raises: CommandFailed, also for a stream cut off."""
    for line in response.iter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        event = _object(data)
        if isinstance(problem := event.get("error"), dict):
            status = problem.get("status")
            raise problem_of(status if isinstance(status, int) else 500, problem)
        yield event
    raise CommandFailed("The stream was cut off before its end; the answer is not whole.")


def _object(data: str) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise CommandFailed("The gateway sent an event that is no JSON object.")
    return event
