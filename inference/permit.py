"""The serving permit: claims, signing, verification, and the holder that fails closed.

Owns the token's form and the rule of freshness. Knows nothing about HTTP, standing or engines:
the issuer decides whether to sign, the gateway and the runtime decide what to do without one.

Freshness is counted by the holder, on a monotonic clock, from the moment it *sent* the request
that brought the permit. The wall-clock claims `iat` and `exp` are for people and logs; nothing
here reads the wall clock, so a wrong one can neither extend a permit nor end it.
"""

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from inference.contract import (
    PERMIT_TTL_SECONDS,
    Json,
    PermitInvalid,
    PermitLapsed,
    PermitOutdated,
    ReasoningPolicy,
)

ALGORITHM: Final = "EdDSA"
TYPE: Final = "lictor-permit+jwt"
ISSUER: Final = "lictor"
MAX_PERMIT_CHARS: Final = 8192
MAX_TTL_SECONDS: Final = 300

KeySet = Mapping[str, Ed25519PublicKey]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class PermitClaims:
    """What one permit allows: one replica, one checkpoint, one endpoint, one decision.

    `serial` rises strictly per replica; `issued_at` is unix seconds; `ttl_seconds` runs on the
    holder's monotonic clock. Law: `from_json(c.to_json()) == c`.
    """

    replica: str
    permit_id: str
    endpoint: str
    endpoint_name: str
    checkpoint: str
    decision: str
    serial: int
    issued_at: int
    reasoning_policy: ReasoningPolicy
    guard: str | None = None
    ttl_seconds: int = PERMIT_TTL_SECONDS

    def to_json(self) -> Json:
        """Return the JWT claims set."""
        return {
            "iss": ISSUER,
            "aud": self.replica,
            "jti": self.permit_id,
            "endpoint": self.endpoint,
            "endpoint_name": self.endpoint_name,
            "checkpoint": self.checkpoint,
            "guard": self.guard,
            "reasoning_policy": self.reasoning_policy.to_json(),
            "decision": self.decision,
            "serial": self.serial,
            "iat": self.issued_at,
            "exp": self.issued_at + self.ttl_seconds,
            "ttl_seconds": self.ttl_seconds,
        }

    @classmethod
    def from_json(cls, claims: Mapping[str, Any]) -> "PermitClaims":
        """Read a verified claims set; every claim is required and typed.

        Raises: PermitInvalid.
        """
        guard = claims.get("guard")
        if "guard" not in claims or not (guard is None or isinstance(guard, str)):
            raise PermitInvalid("permit claim 'guard' must be a digest or null")
        try:
            policy = ReasoningPolicy.from_json(claims.get("reasoning_policy"))
        except ValueError as error:
            raise PermitInvalid(str(error)) from error
        return cls(
            replica=_text(claims, "aud"),
            permit_id=_text(claims, "jti"),
            endpoint=_text(claims, "endpoint"),
            endpoint_name=_text(claims, "endpoint_name"),
            checkpoint=_text(claims, "checkpoint"),
            decision=_text(claims, "decision"),
            serial=_whole(claims, "serial", 0),
            issued_at=_whole(claims, "iat", 0),
            reasoning_policy=policy,
            guard=guard,
            ttl_seconds=_whole(claims, "ttl_seconds", 1, MAX_TTL_SECONDS),
        )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise PermitInvalid(f"permit claim {name!r} must be a non-empty string")
    return value


def _whole(claims: Mapping[str, Any], name: str, low: int, high: int = 2**63 - 1) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise PermitInvalid(f"permit claim {name!r} must be a whole number from {low} to {high}")
    return value


def sign(private_key: Ed25519PrivateKey, claims: PermitClaims, *, key_id: str) -> str:
    """Return the compact JWS for these claims. Law: verify(sign(k, c)) == c."""
    headers = {"kid": key_id, "typ": TYPE}
    return jwt.encode(claims.to_json(), private_key, algorithm=ALGORITHM, headers=headers)


def verify(token: str, keys: KeySet, audience: str) -> PermitClaims:
    """Check signature, key, type, issuer and audience; return the claims.

    The algorithm is fixed and the key comes from `keys` alone: nothing in the token chooses
    either. Age is not judged here: see `PermitHolder`.

    Raises: PermitInvalid saying which check failed.
    """
    if len(token) > MAX_PERMIT_CHARS:
        raise PermitInvalid(f"permit is longer than {MAX_PERMIT_CHARS} characters")
    key = _key_named_by(token, keys)
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={
                "require": ["iss", "aud", "jti", "iat", "exp"],
                "verify_aud": False,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidTokenError as error:
        raise PermitInvalid(f"permit does not verify: {error}") from error
    held = PermitClaims.from_json(claims)
    if not hmac.compare_digest(held.replica.encode(), audience.encode()):
        raise PermitInvalid(f"permit is for replica {held.replica}, not {audience}")
    return held


def _key_named_by(token: str, keys: KeySet) -> Ed25519PublicKey:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise PermitInvalid(f"permit is not a JWS: {error}") from error
    if header.get("alg") != ALGORITHM:
        raise PermitInvalid(f"permit algorithm is {header.get('alg')!r}, only {ALGORITHM} is taken")
    if header.get("typ") != TYPE:
        raise PermitInvalid(f"token type is {header.get('typ')!r}, not {TYPE!r}")
    key = keys.get(str(header.get("kid")))
    if key is None:
        raise PermitInvalid(f"permit names the unknown key {header.get('kid')!r}")
    return key


def read_keys(body: object) -> dict[str, Ed25519PublicKey]:
    """Read the issuer's `GET /keys` answer into {kid: public key}.

    Raises: PermitInvalid if a member is missing or a key is not Ed25519.
    """
    entries = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise PermitInvalid("issuer's key list is not {'keys': [...]}")
    return dict(_read_key(entry) for entry in entries)


def _read_key(entry: object) -> tuple[str, Ed25519PublicKey]:
    if not isinstance(entry, dict):
        raise PermitInvalid("issuer's key entry is not an object")
    try:
        key = load_pem_public_key(str(entry["public_key_pem"]).encode())
        key_id = str(entry["kid"])
    except (KeyError, ValueError) as error:
        raise PermitInvalid(f"issuer's key entry cannot be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise PermitInvalid(f"issuer's key {key_id!r} is not Ed25519")
    return key_id, key


def suspend_aware_clock() -> float:
    """Return monotonic seconds that go on counting while the machine sleeps, where it can."""
    boot_time: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class PermitHolder:
    """Hold the newest permit of one replica; `current()` answers only while it is fresh.

    Laws: a serial at or below one already stored never extends anything; time passing can
    only take the permit away; `drop()` is final until a higher serial arrives.
    """

    def __init__(
        self,
        audience: str,
        *,
        keys: KeySet | None = None,
        checkpoint: str | None = None,
        clock: Clock = suspend_aware_clock,
    ) -> None:
        self.audience = audience
        self.keys: KeySet = keys or {}
        self.checkpoint = checkpoint
        self.clock = clock
        self._claims: PermitClaims | None = None
        self._deadline = float("-inf")
        self._serial = -1

    def store(self, token: str, sent_at: float, *, issuer_now: float | None = None) -> PermitClaims:
        """Verify a permit and hold it until `sent_at + ttl`, less the age it came with.

        `sent_at` is a reading of this holder's clock taken *before* the request went out.
        `issuer_now` (unix seconds) is the issuer's own clock when it handed over a permit it
        had signed earlier; both ends of that age are the issuer's, and it can only shorten.

        Raises: PermitInvalid, PermitOutdated; what was held before then stays as it was.
        """
        claims = verify(token, self.keys, self.audience)
        if self.checkpoint is not None and claims.checkpoint != self.checkpoint:
            raise PermitInvalid(
                f"permit is for checkpoint {claims.checkpoint}, this replica runs {self.checkpoint}"
            )
        if claims.serial <= self._serial:
            raise PermitOutdated(
                f"permit serial {claims.serial} is not above {self._serial}, already seen"
            )
        self._serial = claims.serial
        self._claims = claims
        age = 0.0 if issuer_now is None else max(0.0, issuer_now - claims.issued_at)
        self._deadline = min(sent_at, self.clock()) + claims.ttl_seconds - age
        return claims

    def current(self) -> PermitClaims:
        """Return the claims in force now.

        Raises: PermitLapsed.
        """
        if self._claims is None:
            raise PermitLapsed(f"replica {self.audience} holds no serving permit", retry_after=1)
        if self.clock() >= self._deadline:
            late = self.clock() - self._deadline
            raise PermitLapsed(
                f"the serving permit of replica {self.audience} ran out {late:.1f} s ago",
                retry_after=1,
            )
        return self._claims

    def drop(self) -> None:
        """Give the permit up at once: the issuer said that standing ended."""
        self._claims = None
        self._deadline = float("-inf")

    @property
    def remaining_seconds(self) -> float:
        """Seconds until the permit runs out, never below 0."""
        return max(0.0, self._deadline - self.clock())

    @property
    def serial(self) -> int:
        """Highest serial seen; -1 before the first."""
        return self._serial
