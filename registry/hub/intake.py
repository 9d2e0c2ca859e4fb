"""Ask a Hub about one repository, through huggingface_hub.

Everything is asked of one pinned commit. Answers are bounded in time; texts also in size, and
checked against the hash that the Hub lists for them. Knows nothing about the registry.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import httpx2
from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, not in __all__
    build_hf_headers,
    hf_raise_for_status,
)

from registry.errors import BadInput
from registry.hub import facts
from registry.hub.answers import refusing
from registry.hub.facts import Commit, HubFile
from registry.hub.refusals import HubRefusal

MAX_CARD_BYTES: Final = 8 << 20
MAX_TEXT_BYTES: Final = 2 << 20
MAX_TEXTS: Final = 100
MAX_DATASETS: Final = 50
ASK_SECONDS: Final = 20.0
TRIES: Final = 4
LONGEST_WAIT_SECONDS: Final = 60.0
_CHUNK: Final = 64 << 10
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold one commit, what was seen beside it, and the texts read: {path: bytes}."""

    commit: Commit
    seen: dict[str, Any]
    texts: dict[str, bytes]

    @property
    def parents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.seen["parents"]
        return found


class Hub:
    """Ask one Hub with one token; `sleep` waits between tries, and not at all when None."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: str | None = None,
        sleep: Callable[[float], None] | None = time.sleep,
    ) -> None:
        self.api = HfApi(endpoint=endpoint, token=token or False, library_name="lictor")
        self.endpoint: str = self.api.endpoint
        self._token = token
        self._sleep = sleep

    def pin(self, repo: str, revision: str | None = None) -> tuple[str, str]:
        """Resolve a name and a branch or tag to (the repository's name now, commit).

        Raises: HubRefusal.
        """
        info = self._ask(repo, lambda: self.api.model_info(repo, revision=revision, **_TIMED))
        name, sha = str(info.id), str(info.sha)
        try:
            Commit(name, sha, ())
        except BadInput as error:
            raise HubRefusal("bad_answer", f"{repo}: {error.detail}") from error
        return name, sha

    def read(self, repo: str, revision: str | None = None) -> Reading:
        """Read one commit's facts and texts; no weights. Raises: HubRefusal."""
        name, sha = self.pin(repo, revision)
        info = self._ask(
            name, lambda: self.api.model_info(name, revision=sha, files_metadata=True, **_TIMED)
        )
        commit = self._commit(name, sha, info)
        unknown: list[str] = []
        # The Hub refuses `expand` together with the other two, so each is a question of its own.
        more = self._optional(name, sha, unknown, "expand", expand=list(_EXPANDED))
        checked = self._optional(name, sha, unknown, "security", securityStatus=True)
        card = _card(info)
        seen: dict[str, Any] = {
            "endpoint": self.endpoint,
            "source": "hub",
            "revision": revision or "",
            "named": repo,
            "unknown": unknown,
            "gated": more.gated if more and more.gated is not None else info.gated,
            "private": info.private,
            "disabled": info.disabled,
            "last_modified": info.last_modified.isoformat() if info.last_modified else None,
            "safetensors": facts.safetensors_of(more.safetensors if more else info.safetensors),
            "security": _plain(checked.security_repo_status) if checked else None,
            "card": facts.card_of(card),
            "gates": facts.gates_of(card),
        }
        texts, seen["left_out"] = self._texts(commit)
        named = facts.parents_of(name, card, more.base_models if more else None)
        seen["parents"] = [asdict(one) for one in facts.with_adapter_base(name, named, texts)]
        seen["datasets"] = [self._dataset(one) for one in seen["card"]["datasets"][:MAX_DATASETS]]
        return Reading(commit, seen, texts)

    def read_text(self, commit: Commit, file: HubFile, limit: int) -> bytes:
        """Fetch one small file and check its hash. Raises: HubRefusal."""
        data = self._ask(commit.repo, lambda: self._bytes(commit, file.path, limit))
        digest = hashlib.sha256(data).hexdigest()
        if not facts.matches(file, sha256=digest, blob_id=facts.git_blob_id(data)):
            raise HubRefusal(
                "bad_answer", f"{file.path} is not the file that the Hub lists: its hash differs."
            )
        return data

    @contextlib.contextmanager
    def stream(self, commit: Commit, path: str, *, start: int = 0) -> Iterator[httpx2.Response]:
        """Open one file of a commit from a byte on. Raises: HubRefusal."""
        url = hf_hub_url(commit.repo, path, revision=commit.sha, endpoint=self.endpoint)
        headers = build_hf_headers(token=self._token or False, library_name="lictor")
        # A compressed answer would be neither the file's length nor resumable.
        headers["Accept-Encoding"] = "identity"
        if start:
            headers["Range"] = f"bytes={start}-"
        with (
            refusing(commit.repo),
            get_session().stream("GET", url, headers=headers, timeout=ASK_SECONDS) as response,
        ):
            hf_raise_for_status(response)
            yield response

    def retrying(self, what: str, act: Callable[[], _T]) -> _T:
        """Do it again when the failure may pass, waiting as long as the Hub asks for.

        Raises: HubRefusal, at once when the Hub asks for longer than LONGEST_WAIT_SECONDS.
        """
        for number in range(1, TRIES + 1):
            try:
                return act()
            except HubRefusal as error:
                wait = error.retry_after if error.retry_after is not None else 2.0 ** (number - 1)
                last = number == TRIES or wait > LONGEST_WAIT_SECONDS
                if last or self._sleep is None or not error.is_transient:
                    raise
                self._sleep(wait)
        raise AssertionError(what)

    def _ask(self, repo: str, act: Callable[[], _T]) -> _T:
        def once() -> _T:
            with refusing(repo):
                return act()

        return self.retrying(repo, once)

    def _optional(
        self, name: str, sha: str, unknown: list[str], topic: str, **asking: Any
    ) -> Any | None:
        """Ask what not every server that speaks like the Hub can answer; note what stays unknown.

        What may pass is no answer: it is raised, so that a busy Hub is not read as one that
        does not know.
        """
        try:
            return self._ask(
                name, lambda: self.api.model_info(name, revision=sha, **_TIMED, **asking)
            )
        except HubRefusal as error:
            if error.is_transient and error.reason != "failed":
                raise
            unknown.append(topic)
            return None

    def _commit(self, name: str, sha: str, info: Any) -> Commit:
        if info.sha != sha:
            raise HubRefusal("bad_answer", f"{name}: asked for {sha}, answered {info.sha}.")
        try:
            return Commit(name, sha, facts.files_of(info.siblings or ()))
        except BadInput as error:
            raise HubRefusal("bad_answer", f"{name}: {error.detail}") from error

    def _texts(self, commit: Commit) -> tuple[dict[str, bytes], list[dict[str, str]]]:
        """Fetch the texts that are wanted; say of each that could not be had why."""
        texts: dict[str, bytes] = {}
        left_out = []
        for file in (one for one in commit.files if facts.is_text_wanted(one.path)):
            limit = MAX_CARD_BYTES if file.path == "README.md" else MAX_TEXT_BYTES
            reason = _unfit(file, limit) or ("too many texts" if len(texts) >= MAX_TEXTS else "")
            if not reason:
                try:
                    texts[file.path] = self.read_text(commit, file, limit)
                except HubRefusal as error:
                    # What may pass is worth another try, by whoever asked; the rest stays so.
                    if error.is_transient or error.reason == "bad_answer":
                        raise
                    reason = error.reason
            if reason:
                left_out.append({"path": file.path[:300], "reason": reason})
        return texts, left_out

    def _bytes(self, commit: Commit, path: str, limit: int) -> bytes:
        data = bytearray()
        with self.stream(commit, path) as response:
            for chunk in response.iter_raw(_CHUNK):
                data += chunk
                if len(data) > limit:
                    raise HubRefusal(
                        "bad_answer", f"{path} is larger than {limit:,} bytes, and than it says."
                    )
        return bytes(data)

    def _dataset(self, name: str) -> dict[str, Any]:
        """Ask for a data set's licence; what cannot be learnt is said, never taken for none."""
        try:
            info = self._ask(name, lambda: self.api.dataset_info(name, **_TIMED))
        except HubRefusal as error:
            if error.is_transient:
                raise
            return {"id": name, "license": "", "state": error.reason}
        told = facts.dataset_licences(_card(info))
        return {"id": name, "license": " AND ".join(told)[:100], "state": "read"}


_TIMED: Final[dict[str, Any]] = {"timeout": ASK_SECONDS}
_EXPANDED: Final = ("baseModels", "safetensors", "gated")


def _card(info: Any) -> dict[str, Any]:
    card = info.card_data
    return card.to_dict() if hasattr(card, "to_dict") else {}


def _unfit(file: HubFile, limit: int) -> str:
    if fault := facts.name_fault(file.path):
        return f"its name: {fault}"
    if file.size is not None and file.size > limit:
        return f"larger than {limit:,} bytes"
    return "" if file.claim else "the Hub gives no hash for it"


def _plain(value: object) -> dict[str, Any] | None:
    """Keep a security status if it is a plain object of bounded size."""
    if not isinstance(value, dict) or len(repr(value)) > facts.MAX_TEXT:
        return None
    return value
