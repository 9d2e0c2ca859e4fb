"""Talk to a Lictor server for the online commands.

Imported by a command only when it runs, so that `lictor --help` never loads an HTTP library.
Every failure leaves as `CommandFailed`.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from registry.artifact.manifest import FileEntry
from registry.cli.failure import BadRequest, CommandFailed, problem_of

CHUNK_BYTES = 1 << 20
# Reading is long: a judgement or an export may take the server a while.
TIMEOUT = httpx.Timeout(120, connect=10)
Sent = Callable[[int], None]


class Answer(dict[str, Any]):
    """Be a JSON object in which a member that must be there and is not ends the command."""

    def __missing__(self, name: str) -> Any:
        raise CommandFailed(
            f"The server's answer has no {name!r}; is this a Lictor server of this version?"
        )


class Server:
    """Call `/api/v1/` of one server with one token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = checked_url(url, "LICTOR_URL")
        headers = {"Authorization": f"Bearer {checked_secret(token, 'LICTOR_TOKEN')}"}
        self._http = httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=TIMEOUT)

    @classmethod
    def from_environment(cls) -> "Server":
        """Raises: CommandFailed naming every variable that is missing."""
        needed = {
            "LICTOR_URL": "the server, such as http://127.0.0.1:8000",
            "LICTOR_TOKEN": "your API token (lct_...), made on the server's token page",
        }
        missing = [name for name in needed if not os.environ.get(name, "").strip()]
        if missing:
            raise BadRequest(
                f"{' and '.join(missing)} must be set.",
                *(f"export {name}=...   {needed[name]}" for name in missing),
            )
        return cls(os.environ["LICTOR_URL"], os.environ["LICTOR_TOKEN"])

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        with reaching(self.url):
            return answer_of(self._http.get(path, params=params))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        with reaching(self.url):
            return answer_of(self._http.post(path, json=body, headers=headers))

    def each(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list, page after page."""
        while True:
            page = self.get(path, **params)
            yield from page["results"]
            if not page.get("next"):
                return
            # Only the cursor is taken: the token goes to no host that an answer names.
            params = dict(parse_qsl(urlsplit(page["next"]).query))

    def put_file(self, folder: Path, entry: FileEntry, sent: Sent) -> None:
        """Stream one file; the server refuses it unless it has the hash it had when hashed."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(entry.size),
        }
        path = folder / entry.path
        if path.stat().st_size != entry.size:
            raise BadRequest(f"{entry.path} changed since it was hashed; run the command again.")
        with reaching(self.url):
            content = _chunks(path, sent)
            answer_of(self._http.put(f"blobs/{entry.sha256}/", content=content, headers=headers))

    def download(self, path: str, to: Path) -> None:
        """Write an answer to a file, whole or not at all."""
        part = to.with_name(f".{to.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with reaching(self.url), self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise refusal_of(response)
                with part.open("xb") as out:
                    for chunk in response.iter_bytes(CHUNK_BYTES):
                        out.write(chunk)
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)


def checked_url(url: str, name: str) -> str:
    url = url.strip().rstrip("/")
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadRequest(f"{name} is not an address: {error}.") from error
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise BadRequest(f"{name} is {url!r}; write it as http://host:port or https://host.")
    return url


def checked_secret(secret: str, name: str) -> str:
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise BadRequest(f"{name} holds characters that no token has; copy it again.")
    return secret


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn what goes wrong on the way to a server into one line."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise CommandFailed(f"{url} did not answer in time.") from error
    except httpx.ConnectError as error:
        raise CommandFailed(
            f"{url} cannot be reached: {error}.", "Is the server running, and the address right?"
        ) from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise CommandFailed(f"The connection to {url} broke: {error}.") from error


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """Read a JSON object. Raises: CommandFailed, also for what is no JSON object."""
    if not response.is_success:
        raise refusal_of(response)
    try:
        body = response.json(object_hook=Answer)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CommandFailed(f"{response.url} did not answer JSON; is this a Lictor server?")
    return body


def refusal_of(response: httpx.Response) -> CommandFailed:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        detail = f"{response.url} answered no problem details; is the address right?"
        body = {"title": response.reason_phrase or "Refused", "detail": detail}
    return problem_of(response.status_code, body)


def _chunks(path: Path, sent: Sent) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
            sent(len(chunk))
