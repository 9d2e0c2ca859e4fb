"""Turn whatever the Hub's client raises into a HubRefusal."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from registry.hub.refusals import HubRefusal

_SERVER_ERROR: Final = 500
_Says = Callable[[str, Exception], HubRefusal]


@contextlib.contextmanager
def refusing(repo: str) -> Iterator[None]:
    """Raise what goes wrong inside as a HubRefusal about `repo`."""
    try:
        yield
    except _KNOWN as error:
        # The first that fits: the narrower kinds stand before those they derive from.
        says = next(says for kind, says in _TABLE if isinstance(error, kind))
        raise says(repo, error) from error


def _said(reason: str, sentence: str) -> _Says:
    def says(repo: str, error: Exception) -> HubRefusal:
        return HubRefusal(reason, sentence.format(repo=repo[:200], error=str(error)[:300]))

    return says


def _answered(repo: str, error: Exception) -> HubRefusal:
    if not isinstance(error, HfHubHTTPError):
        raise TypeError("only an answer has a status")
    status = error.response.status_code
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        detail = f"{repo}: the Hub is asked too often."
        return HubRefusal("rate_limited", detail, retry_after=_wait(error.response))
    if status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
        return HubRefusal("gated", f"{repo}: the Hub does not let this account read it ({status}).")
    if status == httpx2.codes.NOT_FOUND:
        return HubRefusal("missing", f"{repo} does not exist on the Hub, or is private.")
    reason = "failed" if status >= _SERVER_ERROR else "bad_answer"
    return HubRefusal(reason, f"{repo}: the Hub answered {status}.")


def _wait(response: httpx2.Response) -> float | None:
    told = response.headers.get("Retry-After", "")
    if told.isdigit():
        return float(told)
    limit = parse_ratelimit_headers(response.headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None


_TABLE: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], _Says], ...]] = (
    (GatedRepoError, _said("gated", "{repo} is gated, and this account may not read it.")),
    (
        RepositoryNotFoundError,
        _said("missing", "{repo} does not exist on the Hub, or is private."),
    ),
    (RevisionNotFoundError, _said("no_revision", "{repo} has no such revision.")),
    (EntryNotFoundError, _said("no_file", "{repo}: the Hub lists a file that it does not have.")),
    (DisabledRepoError, _said("disabled", "{repo} has been disabled by the Hub.")),
    (HFValidationError, _said("missing", "{repo!r} is no name of a repository.")),
    (OfflineModeIsEnabled, _said("offline", "{repo}: HF_HUB_OFFLINE is set.")),
    (HfHubHTTPError, _answered),
    (httpx2.TimeoutException, _said("unreachable", "{repo}: the Hub did not answer in time.")),
    (
        httpx2.TransportError,
        _said("unreachable", "{repo}: the Hub cannot be reached, or hung up: {error}."),
    ),
    ((httpx2.HTTPError, httpx2.InvalidURL), _said("bad_answer", "{repo}: {error}.")),
    (
        (ValueError, TypeError, KeyError, AttributeError, RecursionError),
        _said("bad_answer", "{repo}: the answer is not one that a Hub gives ({error})."),
    ),
)
_KNOWN: Final = (
    EntryNotFoundError,
    OfflineModeIsEnabled,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
)
