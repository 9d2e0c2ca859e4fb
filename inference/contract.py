"""Shapes that cross the serving boundary: policy, routes, problems, errors; stdlib only.

Owns the words the issuer, the gateway and the runtime share. Knows nothing about HTTP servers,
tokens, permits' signatures or models.

Errors, one tree; every leaf has a stable `code`, an HTTP status and a title:

    ServingError
    |- RequestRefused 400            a field is wrong; `param` names it
    |  |- FieldsContradict           two explicit fields say different things
    |  |- ReasoningNotSupported      an explicit wish, and a model without a toggle
    |  |- ToolsNotSupported          tools, and a model whose template has no place for them
    |  `- ContextTooLong             prompt and answer do not fit the model
    |- KeyRefused 401
    |- OutOfScope 403                a good key, for another endpoint
    |- GuardBypassed 403             asked of a replica whose guard the caller did not run
    |- EndpointUnknown 404
    |- TooBusy 429                   carries `retry_after`
    |- StandingEnded 451             carries the whole problem body
    |- RenderingFailed 500           the chat template did not do what was asked
    `- NotServing 503                carries `retry_after`
       |- GuardFailed                the guard gave no answer that can be relied upon
       `- PermitRefused
          |- PermitInvalid           signature, key, audience or claims
          |- PermitOutdated          serial not higher than one already seen
          `- PermitLapsed            none held, or the last one ran out
"""

# ruff: noqa: N818  the names say what happened, which is what the caller reads

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict

PROBLEM_BASE: Final = "https://lictor.dev/problems/"
LICENCE_ENDED: Final = "licence_ended"
HINT_CHANNEL: Final = "lictor.hints"
PERMIT_TTL_SECONDS: Final = 5
RENEW_EVERY_SECONDS: Final = 1.0
UNMANAGED_HEADER: Final = "X-Lictor-Unmanaged"
# On a request to a replica: the digest of the guard that read it. On an answer: that guard's.
GUARD_HEADER: Final = "X-Lictor-Guard"

Json = dict[str, Any]
PolicyMode = Literal["caller_decides", "always_on", "always_off"]
Mode = Literal["on", "off"]
ModeSource = Literal["policy", "request", "system", "user", "default"]
POLICY_MODES: Final[tuple[PolicyMode, ...]] = ("caller_decides", "always_on", "always_off")


class ServingError(Exception):
    """Base of everything this process refuses; `str()` is what the caller reads."""

    code = "serving_error"
    status = 500
    title = "The request could not be served"

    def __init__(
        self, detail: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param
        self.retry_after = retry_after

    def problem(self) -> Json:
        """Return the RFC 9457 body, with the `error` member OpenAI clients read."""
        body: Json = {
            "type": PROBLEM_BASE + self.code.replace("_", "-"),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.param is not None:
            body["param"] = self.param
        return body


class RequestRefused(ServingError):
    code, status, title = "invalid_request", 400, "The request is not valid"


class FieldsContradict(RequestRefused):
    code, title = "fields_contradict", "Two fields of the request contradict each other"


class ReasoningNotSupported(RequestRefused):
    code, title = "reasoning_not_supported", "This model has no reasoning toggle"


class ToolsNotSupported(RequestRefused):
    code, title = "tools_not_supported", "This model cannot be given tools"


class ContextTooLong(RequestRefused):
    code, title = "context_too_long", "The prompt and the answer do not fit the model's context"


class KeyRefused(ServingError):
    code, status, title = "key_refused", 401, "The API key is missing, unknown or expired"


class OutOfScope(ServingError):
    code, status, title = "out_of_scope", 403, "The API key does not open this endpoint"


class GuardBypassed(ServingError):
    code, status, title = "guard_bypassed", 403, "The guard of this replica was not asked"


class EndpointUnknown(ServingError):
    code, status, title = "endpoint_unknown", 404, "No endpoint has this name"


class TooBusy(ServingError):
    code, status, title = "too_busy", 429, "Too many requests at once"


class RenderingFailed(ServingError):
    code, status, title = "rendering_failed", 500, "The chat template could not be used"


class NotServing(ServingError):
    code, status, title = "not_serving", 503, "Nothing can serve this request at present"


class GuardFailed(NotServing):
    code, title = "guard_failed", "The guard of this endpoint gave no answer"


class PermitRefused(NotServing):
    code, title = "permit_refused", "There is no valid serving permit"


class PermitInvalid(PermitRefused):
    code = "permit_invalid"


class PermitOutdated(PermitRefused):
    code = "permit_outdated"


class PermitLapsed(PermitRefused):
    code = "permit_lapsed"


class StandingEnded(ServingError):
    """Carry the issuer's problem body unchanged, so that the clause reaches the caller."""

    code, status, title = LICENCE_ENDED, 451, "Unavailable for legal reasons"

    def __init__(self, body: Mapping[str, Any]) -> None:
        detail = str(body.get("detail") or "The right to serve this model has ended.")
        super().__init__(detail)
        self.body = dict(body)

    def problem(self) -> Json:
        return {**super().problem(), **self.body, "status": 451}


@dataclass(frozen=True, slots=True)
class ReasoningPolicy:
    """Say what an endpoint allows its callers to decide about reasoning.

    `max_budget_tokens` caps the thinking budget (0 or more; None: no cap); 0 means never think.
    `default_mode` is used when neither the request nor its messages say anything (None: the
    model's own default). Law: `from_json(p.to_json()) == p`.
    """

    mode: PolicyMode = "caller_decides"
    max_budget_tokens: int | None = None
    default_mode: Mode | None = None

    def __post_init__(self) -> None:
        faults = _policy_faults(self.mode, self.max_budget_tokens, self.default_mode)
        if faults:
            raise ValueError("reasoning policy: " + "; ".join(faults))

    @classmethod
    def from_json(cls, value: object) -> "ReasoningPolicy":
        """Read the policy object of a permit or a route; unknown members are refused.

        Raises: ValueError naming every fault.
        """
        if not isinstance(value, dict):
            raise ValueError("reasoning policy: an object is required")
        unknown = sorted(set(value) - {"mode", "max_budget_tokens", "default_mode"})
        if unknown:
            raise ValueError(f"reasoning policy: unknown member(s) {', '.join(unknown)}")
        return cls(
            mode=value.get("mode", "caller_decides"),
            max_budget_tokens=value.get("max_budget_tokens"),
            default_mode=value.get("default_mode"),
        )

    def to_json(self) -> Json:
        return {
            "mode": self.mode,
            "max_budget_tokens": self.max_budget_tokens,
            "default_mode": self.default_mode,
        }


def _policy_faults(mode: object, cap: object, default: object) -> list[str]:
    faults = []
    if mode not in POLICY_MODES:
        faults.append(f"mode {mode!r} is not one of {', '.join(POLICY_MODES)}")
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 0):
        faults.append(f"max_budget_tokens {cap!r} is not a whole number of 0 or more, or null")
    if mode == "always_on" and cap == 0:
        faults.append("always_on with max_budget_tokens 0 contradicts itself")
    if default not in (None, "on", "off"):
        faults.append(f"default_mode {default!r} is not on, off or null")
    return faults


class RenewRequest(TypedDict):
    """Body of `POST /permits/renew`; the replica token goes in the Authorization header."""

    replica: str
    checkpoint: str
    state: Literal["ready", "loading", "draining"]


class RouteKey(TypedDict):
    """One caller's key: hex SHA-256 of the whole key; `expires_at` in unix seconds or ISO 8601."""

    id: str
    sha256: str
    expires_at: str | float | None


class RouteReplica(TypedDict):
    id: str
    url: str
    token: str
    permit: str | None


class RouteGuard(TypedDict):
    """The guard in front of an endpoint: a `lictor.guard/1` document and its digest."""

    digest: str
    document: Json


class RouteEndpoint(TypedDict):
    id: str
    name: str
    org: str
    checkpoint: str
    reasoning_policy: Json
    keys: list[RouteKey]
    ended: Json | None
    guard: RouteGuard | None
    replicas: list[RouteReplica]


class Routes(TypedDict):
    """Answer of `GET /routes`; `generation` rises with each change of desired state."""

    generation: int
    endpoints: list[RouteEndpoint]


def licence_ended_problem(
    *,
    detail: str,
    licence: str,
    licence_title: str,
    version: str,
    section: str,
    quote: str,
    matter: str | None,
    effective: str,
    model: str,
) -> Json:
    """Build the HTTP 451 body: which licence, which clause, since when.

    `effective` is an ISO 8601 date; `model` is `org/name`. Source: RFC 7725, RFC 9457.
    """
    return {
        "type": PROBLEM_BASE + "licence-ended",
        "title": StandingEnded.title,
        "status": StandingEnded.status,
        "detail": detail,
        "code": LICENCE_ENDED,
        "licence": licence,
        "licence_title": licence_title,
        "version": version,
        "section": section,
        "quote": quote,
        "matter": matter,
        "effective": effective,
        "model": model,
    }
