"""Speak the Hub's HTTP on a port of this machine, from repositories described in a test.

The shapes, headers and error codes are those that huggingface_hub 2.x reads; it is the real client
that asks. Faults are set per path: a status, a cut after so many bytes, other bytes, a pause.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LARGE = (".safetensors", ".bin", ".gguf")


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    """Describe one repository at one commit; `api` overrides members of its answer."""

    name: str
    files: dict[str, bytes]
    sha: str = ""
    gated: Any = False
    # None: everybody may read the files. A token: only who sends it.
    token: str | None = None
    base_models: Any = None
    security: dict[str, Any] | None = None
    api: dict[str, Any] = field(default_factory=dict)
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sha:
            told = repr((self.name, sorted(self.files.items()))).encode()
            self.sha = hashlib.sha1(told).hexdigest()

    def card(self) -> dict[str, Any]:
        text = self.files.get("README.md", b"").decode("utf-8", "replace")
        if not text.startswith("---\n"):
            return {}
        found = yaml.safe_load(text.split("---\n", 2)[1])
        return found if isinstance(found, dict) else {}

    def sibling(self, path: str, *, full: bool) -> dict[str, Any]:
        data = self.files[path]
        row: dict[str, Any] = {"rfilename": path}
        if full:
            row |= {"size": len(data), "blobId": blob_id(data)}
            if path.endswith(LARGE):
                sha256 = hashlib.sha256(data).hexdigest()
                row |= {
                    "blobId": blob_id(sha256.encode()),
                    "lfs": {"sha256": sha256, "size": len(data), "pointerSize": 135},
                }
            row |= self.listed.get(path, {})
        return row

    def info(self, query: dict[str, list[str]]) -> dict[str, Any]:
        plain = {"_id": "0" * 24, "id": self.name}
        expand = query.get("expand")
        if expand:
            told: dict[str, Any] = {
                "gated": self.gated,
                "safetensors": {"parameters": {"BF16": 8888227328}, "total": 8888227328},
                "baseModels": self.base_models,
            }
            return plain | {name: told[name] for name in expand if told.get(name) is not None}
        made = plain | {
            "modelId": self.name,
            "author": self.name.split("/")[0],
            "sha": self.sha,
            "lastModified": "2025-09-22T10:11:12.000Z",
            "createdAt": "2025-08-12T22:43:32.000Z",
            "private": False,
            "gated": self.gated,
            "disabled": False,
            "downloads": 100,
            "likes": 5,
            "pipeline_tag": "text-generation",
            "library_name": "transformers",
            "tags": ["transformers", "safetensors", "region:us"],
            "cardData": self.card(),
            "siblings": [self.sibling(path, full="blobs" in query) for path in self.files],
            "spaces": [],
            "usedStorage": sum(map(len, self.files.values())),
        }
        if "securityStatus" in query:
            made["securityRepoStatus"] = self.security or {"scansDone": True, "filesWithIssues": []}
        return made | self.api


@dataclass
class Fault:
    """Spoil the answers to a path: at most `times` of them."""

    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    data: bytes | None = None
    pause: float = 0.0
    body: bytes | None = None


class FakeHub:
    def __init__(self) -> None:
        self.repos: dict[str, list[Repo]] = {}
        self.datasets: dict[str, dict[str, Any]] = {}
        self.renamed: dict[str, str] = {}
        self.private: set[str] = set()
        self.faults: dict[str, Fault] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.honours_ranges = True
        self.answers_expand = True
        self.url = ""

    def add(self, name: str, files: dict[str, bytes], **more: Any) -> Repo:
        """Put a commit on top of a repository."""
        repo = Repo(name, files, **more)
        self.repos.setdefault(name, []).append(repo)
        return repo

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def find(self, name: str, revision: str) -> Repo | None:
        commits = self.repos.get(name, [])
        if revision in {"main", ""}:
            return commits[-1] if commits else None
        return next((one for one in commits if revision == one.sha), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up on a spoilt answer is what the tests are about."""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    server = _Server(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        def __init__(self, *args: Any) -> None:
            self.hub = hub
            super().__init__(*args)

    return Handler


def _tags(repo: Repo, path: str) -> dict[str, str]:
    """Name a file's commit and content in the headers that mirrors and caches read."""
    data = repo.files[path]
    tags = {"X-Repo-Commit": repo.sha, "ETag": f'"{blob_id(data)}"'}
    if path.endswith(LARGE):
        linked = hashlib.sha256(data).hexdigest()
        tags |= {"X-Linked-Etag": f'"{linked}"', "X-Linked-Size": str(len(data))}
    return tags


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.hub.asked.append((self.path, dict(self.headers)))
        fault = self._fault(path)
        if fault and fault.pause:
            time.sleep(fault.pause)
        if fault and fault.status:
            self._send(fault.status, fault.body or b"{}", fault.headers)
        elif path.startswith("/api/datasets/"):
            self._dataset(path.removeprefix("/api/datasets/"))
        elif path.startswith("/api/models/"):
            self._model(path.removeprefix("/api/models/"), parse_qs(parts.query), fault)
        elif path.startswith("/cdn/"):
            self._cdn(path.removeprefix("/cdn/"), fault)
        elif "/resolve/" in path:
            self._resolve(path, fault)
        else:
            self._send(404, b"Not Found")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _fault(self, path: str) -> Fault | None:
        for part, fault in self.hub.faults.items():
            if part in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _model(self, rest: str, query: dict[str, list[str]], fault: Fault | None) -> None:
        name, _, revision = rest.partition("/revision/")
        if name in self.hub.renamed:
            # The Hub sends who asks by an old name on to the new one.
            to = f"/api/models/{self.hub.renamed[name]}"
            to += f"/revision/{revision}" if revision else ""
            query_text = urlsplit(self.path).query
            self._send(307, b"{}", {"Location": to + (f"?{query_text}" if query_text else "")})
            return
        if self._closed(name):
            return
        repo = self.hub.find(name, revision)
        if repo is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif fault and fault.body is not None:
            self._send(200, fault.body)
        elif "expand" in query and not self.hub.answers_expand:
            self._error(400, "", "expand is not known here")
        else:
            self._send(200, json.dumps(repo.info(query)).encode())

    def _closed(self, name: str) -> bool:
        if name in self.hub.private or name not in self.hub.repos:
            signed_in = "Authorization" in self.headers
            self._error(404 if signed_in else 401, "RepoNotFound", "Repository not found")
            return True
        return False

    def _resolve(self, path: str, fault: Fault | None) -> None:
        name, _, rest = path[1:].partition("/resolve/")
        revision, _, file = rest.partition("/")
        if self._closed(name):
            return
        repo = self.hub.find(name, revision)
        if repo is None:
            self._error(404, "RevisionNotFound", "Invalid rev id")
        elif repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}":
            signed_in = "Authorization" in self.headers
            message = f"Access to model {name} is restricted."
            self._error(403 if signed_in else 401, "GatedRepo", message)
        elif file not in repo.files:
            self._error(404, "EntryNotFound", "Entry not found")
        elif file.endswith(LARGE):
            # Large files lie on another host; the answer is a redirection, as on the Hub.
            headers = {"Location": f"/cdn/{name}@{repo.sha}/{file}", **_tags(repo, file)}
            self._send(302, b"", headers)
        else:
            self._file(repo.files[file], fault, _tags(repo, file))

    def _cdn(self, rest: str, fault: Fault | None) -> None:
        head, _, path = rest.partition("@")
        sha, _, file = path.partition("/")
        repo = self.hub.find(head, sha)
        assert repo is not None
        self._file(repo.files[file], fault)

    def _file(self, data: bytes, fault: Fault | None, tags: dict[str, str] | None = None) -> None:
        data = fault.data if fault and fault.data is not None else data
        start, headers, status = 0, dict(tags or {}), 200
        asked = self.headers.get("Range", "")
        if asked and self.hub.honours_ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status = 206
        body = data[start:]
        cut = fault.cut_after if fault else None
        self._send(status, body, headers, cut=cut)

    def _dataset(self, name: str) -> None:
        card = self.hub.datasets.get(name)
        if card is None:
            self._error(401, "RepoNotFound", "Repository not found")
            return
        body = {"_id": "0" * 24, "id": name, "sha": "1" * 40, "cardData": card, "tags": []}
        self._send(200, json.dumps(body).encode())

    def _error(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True
