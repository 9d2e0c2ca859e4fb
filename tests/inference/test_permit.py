import base64
import json
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import PermitInvalid, PermitLapsed, PermitOutdated, ReasoningPolicy
from inference.permit import TYPE, PermitClaims, PermitHolder, read_keys, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
KEYS = {"k1": KEY.public_key()}
CLAIMS = PermitClaims(
    replica="replica-1",
    permit_id="permit-1",
    endpoint="endpoint-1",
    endpoint_name="acme/assistant",
    checkpoint="sha256:" + "a" * 64,
    decision="decision-9",
    serial=1,
    issued_at=1_790_000_000,
    reasoning_policy=ReasoningPolicy("caller_decides", 512, "off"),
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def holder(clock: Clock, **more: object) -> PermitHolder:
    return PermitHolder("replica-1", keys=KEYS, clock=clock, **more)  # type: ignore[arg-type]


def token(**changes: object) -> str:
    return sign(KEY, replace(CLAIMS, **changes), key_id="k1")


def forged(header: dict[str, str], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(CLAIMS.to_json()).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_signed_permit_verifies_to_the_same_claims() -> None:
    assert verify(token(), KEYS, "replica-1") == CLAIMS


@given(serial=st.integers(0, 2**62), ttl=st.integers(1, 300), guard=st.none() | st.just("sha256:b"))
def test_signing_and_verifying_are_inverse(serial: int, ttl: int, guard: str | None) -> None:
    claims = replace(CLAIMS, serial=serial, ttl_seconds=ttl, guard=guard)

    assert verify(sign(KEY, claims, key_id="k1"), KEYS, "replica-1") == claims


def test_algorithm_none_is_refused() -> None:
    with pytest.raises(PermitInvalid, match="only EdDSA is taken"):
        verify(forged({"alg": "none", "kid": "k1", "typ": TYPE}), KEYS, "replica-1")


def test_a_permit_signed_with_the_public_key_as_hmac_secret_is_refused() -> None:
    secret = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    headers = {"kid": "k1", "typ": TYPE}
    confused = jwt.encode(CLAIMS.to_json(), secret, algorithm="HS256", headers=headers)

    with pytest.raises(PermitInvalid, match="only EdDSA is taken"):
        verify(confused, KEYS, "replica-1")


def test_a_permit_for_another_replica_is_refused() -> None:
    with pytest.raises(PermitInvalid, match="for replica replica-1, not replica-2"):
        verify(token(), KEYS, "replica-2")


def test_a_permit_with_an_unknown_key_id_is_refused() -> None:
    with pytest.raises(PermitInvalid, match="unknown key 'k2'"):
        verify(sign(KEY, CLAIMS, key_id="k2"), KEYS, "replica-1")


def test_a_permit_signed_by_another_key_under_a_known_id_is_refused() -> None:
    with pytest.raises(PermitInvalid, match="does not verify"):
        verify(sign(OTHER_KEY, CLAIMS, key_id="k1"), KEYS, "replica-1")


def test_a_token_of_another_type_signed_by_the_issuer_is_refused() -> None:
    other = jwt.encode(CLAIMS.to_json(), KEY, algorithm="EdDSA", headers={"kid": "k1"})

    with pytest.raises(PermitInvalid, match="token type"):
        verify(other, KEYS, "replica-1")


def test_a_permit_of_another_issuer_is_refused() -> None:
    body = {**CLAIMS.to_json(), "iss": "someone"}
    other = jwt.encode(body, KEY, algorithm="EdDSA", headers={"kid": "k1", "typ": TYPE})

    with pytest.raises(PermitInvalid, match="does not verify"):
        verify(other, KEYS, "replica-1")


@pytest.mark.parametrize("change", ["x.y", "", "a" * 9000, "not.a.jws"])
def test_text_that_is_no_permit_is_refused(change: str) -> None:
    with pytest.raises(PermitInvalid):
        verify(change, KEYS, "replica-1")


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("serial", "7"),
        ("serial", True),
        ("serial", -1),
        ("ttl_seconds", 0),
        ("ttl_seconds", 10**6),
        ("checkpoint", ""),
        ("decision", None),
        ("guard", 3),
        ("reasoning_policy", {"mode": "whatever"}),
        ("reasoning_policy", None),
        ("aud", ["replica-1"]),
    ],
)
def test_a_claim_of_the_wrong_type_is_refused(claim: str, value: object) -> None:
    body = {**CLAIMS.to_json(), claim: value}
    bad = jwt.encode(body, KEY, algorithm="EdDSA", headers={"kid": "k1", "typ": TYPE})

    with pytest.raises(PermitInvalid):
        verify(bad, KEYS, "replica-1")


def test_a_holder_without_a_permit_refuses() -> None:
    with pytest.raises(PermitLapsed, match="holds no serving permit"):
        holder(Clock()).current()


def test_a_permit_is_held_for_its_ttl_from_the_moment_of_asking() -> None:
    clock = Clock()
    held = holder(clock)
    clock.now = 103.0
    held.store(token(), sent_at=100.0)

    clock.now = 104.9
    assert held.current() == CLAIMS
    clock.now = 105.0
    with pytest.raises(PermitLapsed, match="ran out"):
        held.current()


def test_an_issuer_clock_far_in_the_future_extends_nothing() -> None:
    clock = Clock()
    held = holder(clock)
    held.store(token(issued_at=9_999_999_999), sent_at=100.0)

    clock.now = 105.1
    with pytest.raises(PermitLapsed):
        held.current()


def test_a_sending_time_in_the_future_extends_nothing() -> None:
    clock = Clock()
    held = holder(clock)
    held.store(token(), sent_at=1_000.0)

    clock.now = 105.1
    with pytest.raises(PermitLapsed):
        held.current()


@pytest.mark.parametrize("serial", [4, 5])
def test_a_lower_or_equal_serial_is_refused_and_extends_nothing(serial: int) -> None:
    clock = Clock()
    held = holder(clock)
    held.store(token(serial=5), sent_at=100.0)
    clock.now = 104.0

    with pytest.raises(PermitOutdated, match="not above 5"):
        held.store(token(serial=serial), sent_at=104.0)
    clock.now = 105.5
    with pytest.raises(PermitLapsed):
        held.current()


def test_a_refused_permit_leaves_the_good_one_in_force() -> None:
    held = holder(Clock())
    held.store(token(serial=5), sent_at=100.0)

    with pytest.raises(PermitInvalid):
        held.store(sign(OTHER_KEY, replace(CLAIMS, serial=6), key_id="k1"), sent_at=100.0)
    assert held.current().serial == 5


def test_age_told_by_the_issuer_shortens_a_permit_and_a_negative_one_does_not_extend_it() -> None:
    clock = Clock()
    old, odd = holder(clock), holder(clock)
    old.store(token(), sent_at=100.0, issuer_now=CLAIMS.issued_at + 3.0)
    odd.store(token(), sent_at=100.0, issuer_now=CLAIMS.issued_at - 60.0)

    assert (old.remaining_seconds, odd.remaining_seconds) == (2.0, 5.0)


def test_a_dropped_permit_cannot_be_stored_again() -> None:
    held = holder(Clock())
    held.store(token(), sent_at=100.0)
    held.drop()

    with pytest.raises(PermitLapsed):
        held.current()
    with pytest.raises(PermitOutdated):
        held.store(token(), sent_at=100.0)


def test_a_permit_for_another_checkpoint_is_refused() -> None:
    held = holder(Clock(), checkpoint="sha256:" + "b" * 64)

    with pytest.raises(PermitInvalid, match="this replica runs sha256:bbb"):
        held.store(token(), sent_at=100.0)


def test_the_issuers_key_list_is_read_and_other_key_types_are_refused() -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys = read_keys({"keys": [{"kid": "k1", "public_key_pem": pem}]})

    assert verify(token(), keys, "replica-1") == CLAIMS
    with pytest.raises(PermitInvalid, match="cannot be read"):
        read_keys({"keys": [{"kid": "k1", "public_key_pem": "-----BEGIN nothing"}]})
