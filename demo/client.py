"""Talk to the REST API as one person, and say plainly what went wrong."""

import hashlib
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

from registry.artifact.manifest import Manifest


class ApiError(Exception):
    """Carry a problem answer: `status`, and `body` with `code`, `title`, `detail`."""

    def __init__(self, response: httpx.Response) -> None:
        try:
            self.body: dict[str, Any] = response.json()
        except ValueError:
            self.body = {"title": response.text[:300]}
        self.status = response.status_code
        said = self.body.get("detail") or self.body.get("title")
        super().__init__(
            f"{response.request.method} {response.request.url.path}: {self.status} {said}"
        )


class Api:
    """Call `/api/v1/` with one person's token."""

    def __init__(self, base_url: str, token: str, name: str) -> None:
        self.name = name
        self._http = httpx.Client(
            base_url=f"{base_url}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    def get(self, path: str, **params: Any) -> Any:
        return self._answer(self._http.get(path, params=params))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._answer(self._http.post(path, json=body, headers=headers))

    def results(self, path: str, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get(path, **params)["results"]
        return rows

    def download(self, path: str, to: Path) -> None:
        with self._http.stream("GET", path) as response:
            if response.is_error:
                response.read()
                raise ApiError(response)
            with to.open("wb") as out:
                for chunk in response.iter_bytes():
                    out.write(chunk)

    def upload(self, folder: Path, manifest: Manifest) -> int:
        """Send the files that the server lacks; return how many bytes were sent."""
        by_digest = {file.sha256: file for file in manifest.files}
        missing = self.post("blobs/missing/", {"sha256": sorted(by_digest)})["missing"]
        sent = 0
        for sha256 in missing:
            data = (folder / by_digest[sha256].path).read_bytes()
            if hashlib.sha256(data).hexdigest() != sha256:
                raise RuntimeError(f"{by_digest[sha256].path} changed while it was registered")
            headers = {"Content-Type": "application/octet-stream"}
            self._answer(self._http.put(f"blobs/{sha256}/", content=data, headers=headers))
            sent += len(data)
        return sent

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if response.is_error:
            raise ApiError(response)
        return response.json() if response.content else None


T = TypeVar("T")


def wait_for(read: Callable[[], T], done: Callable[[T], bool], *, seconds: float, what: str) -> T:
    """Poll until `done`; raise TimeoutError with the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        value = read()
        if done(value):
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen in {seconds:.0f} s; last seen: {value}")
        time.sleep(0.2)
