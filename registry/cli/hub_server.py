"""Talk to the server for imports and watches: small texts from memory, and deletions."""

from hashlib import sha256 as sha256_of
from typing import cast

from registry.cli.client import Server, answer_of, reaching, refusal_of


class HubServer(Server):
    @classmethod
    def from_environment(cls) -> "HubServer":
        """Raises: CommandFailed naming every variable that is missing."""
        made = super().from_environment()
        return cast("HubServer", made)

    def send_texts(self, texts: list[bytes]) -> None:
        """Send those of these texts that the server lacks."""
        by_sha256 = {sha256_of(data).hexdigest(): data for data in texts}
        missing = self.post("blobs/missing/", {"sha256": sorted(by_sha256)})["missing"]
        for sha256 in missing:
            if sha256 in by_sha256:
                self._put(sha256, by_sha256[sha256])

    def delete(self, path: str) -> None:
        with reaching(self.url):
            response = self._http.delete(path)
        if not response.is_success:
            raise refusal_of(response)

    def _put(self, sha256: str, data: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(data))}
        with reaching(self.url):
            answer_of(self._http.put(f"blobs/{sha256}/", content=data, headers=headers))
