# ruff: noqa: N818 - these names are the product's words and the codes that clients see.
"""Name every expected failure once: a stable code, an HTTP status and a title.

    LictorError                500  error
    ├── BadInput               400  bad_input            the caller sent something unusable
    │   ├── Unprocessable      422  unprocessable        well formed, but it makes no sense
    │   └── TooLarge           413  too_large
    ├── Unauthenticated        401  unauthenticated
    ├── Forbidden              403  forbidden
    │   ├── RoleMissing        403  role_missing
    │   ├── SeparationOfDuties 403  separation_of_duties
    │   └── NotEntitled        403  not_entitled         no right to serve was ever given
    │       └── StandingEnded  451  licence_ended        a right to serve came to an end
    ├── NotFound               404  not_found
    ├── Conflict               409  conflict
    │   ├── Duplicate          409  duplicate
    │   ├── StaleState         409  stale_state          another move came first
    │   └── StaleReview        409  stale_review         what was reviewed has changed
    ├── PreconditionFailed     412  precondition_failed  If-Match did not match
    ├── PreconditionRequired   428  precondition_required
    ├── TooManyRequests        429  too_many_requests
    └── Unavailable            503  unavailable

Knows nothing about HTTP libraries: `registry.http` turns these into problem details and the
command line turns them into one paragraph.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


class LictorError(Exception):
    """Say what failed in `detail`; `extra` holds more members of the problem body."""

    code: str = "error"
    status: int = 500
    title: str = "Something failed"

    def __init__(
        self, detail: str, *, code: str | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra: dict[str, Any] = dict(extra or {})
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """State one thing wrong with an input: where, what, and what to do about it."""

    place: str
    code: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}" + (f" {self.remedy}" if self.remedy else "")


class BadInput(LictorError):
    """Refuse an input and list every fault found in it; `faults` is never empty."""

    code = "bad_input"
    status = 400
    title = "The input is not valid"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        place: str = "",
        remedy: str = "",
        faults: Iterable[Fault] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        listed = tuple(faults) or (Fault(place, code or type(self).code, detail, remedy),)
        super().__init__(
            detail, code=code, extra={**(extra or {}), "faults": [asdict(item) for item in listed]}
        )
        self.faults = listed

    @classmethod
    def listing(cls, faults: Iterable[Fault], *, code: str | None = None) -> "BadInput":
        """Make one error of many faults, sorted; the code is theirs when all share one."""
        listed = sorted(set(faults))
        codes = {item.code for item in listed}
        shared = codes.pop() if len(codes) == 1 else None
        return cls(" ".join(map(str, listed)), code=code or shared, faults=listed)


class Unprocessable(BadInput):
    code = "unprocessable"
    status = 422
    title = "The input is well formed but cannot be acted on"


class TooLarge(BadInput):
    code = "too_large"
    status = 413
    title = "The input is too large"


class Unauthenticated(LictorError):
    code = "unauthenticated"
    status = 401
    title = "Not signed in"


class Forbidden(LictorError):
    code = "forbidden"
    status = 403
    title = "Not allowed"


class RoleMissing(Forbidden):
    code = "role_missing"
    title = "Your roles do not allow this"


class SeparationOfDuties(Forbidden):
    code = "separation_of_duties"
    title = "Somebody else must do this"


class NotEntitled(Forbidden):
    code = "not_entitled"
    title = "No right to serve"


class StandingEnded(NotEntitled):
    """Say that a licence ended; `extra` carries licence, version, section, quote, matter..."""

    code = "licence_ended"
    status = 451
    title = "Unavailable for legal reasons"


class NotFound(LictorError):
    code = "not_found"
    status = 404
    title = "Not found"


class Conflict(LictorError):
    code = "conflict"
    status = 409
    title = "This conflicts with the present state"


class Duplicate(Conflict):
    code = "duplicate"
    title = "This exists already"


class StaleState(Conflict):
    code = "stale_state"
    title = "Somebody else was first"


class StaleReview(Conflict):
    code = "stale_review"
    title = "What was reviewed has changed"


class PreconditionFailed(LictorError):
    code = "precondition_failed"
    status = 412
    title = "The object has changed since you read it"


class PreconditionRequired(LictorError):
    code = "precondition_required"
    status = 428
    title = "Say which version you mean"


class TooManyRequests(LictorError):
    code = "too_many_requests"
    status = 429
    title = "Too many requests"


class Unavailable(LictorError):
    code = "unavailable"
    status = 503
    title = "A needed service does not answer"
