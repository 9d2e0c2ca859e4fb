import contextlib
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadInput
from registry.ledger.chain import (
    GENESIS,
    Entry,
    MerkleTree,
    key_id,
    load_public_key,
    merkle_root,
    public_key_pem,
    sign_root,
    verify_root,
)
from registry.ledger.export import Report, export_lines, verify_export

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
AT = "2026-11-23T12:00:00Z"


def make_entries(count: int, *, org: str = "acme", note: str = "") -> list[Entry]:
    entries: list[Entry] = []
    for seq in range(1, count + 1):
        entries.append(
            Entry(
                org=org,
                seq=seq,
                prev=entries[-1].hash if entries else GENESIS,
                at=AT,
                actor="Lena Örn",
                action="review.decide.legal",
                subject=f"checkpoint {seq}",
                payload={"n": seq, "note": note, "list": [1.5, None, True, {"x": "ä"}]},
            )
        )
    return entries


def make_export(entries: list[Entry], key: Ed25519PrivateKey = KEY) -> bytes:
    signed = sign_root(
        key,
        org="acme",
        size=len(entries),
        root=merkle_root(entries),
        head=entries[-1].hash if entries else GENESIS,
        at=AT,
    )
    return b"".join(export_lines(entries, signed, key.public_key()))


def check(data: bytes, *, trusted: bool = True) -> Report:
    return verify_export(io.BytesIO(data), KEY.public_key() if trusted else None)


def blamed(report: Report) -> set[int | None]:
    return {problem.seq for problem in report.problems}


EXPORT = make_export(make_entries(4))
LINES = EXPORT.splitlines(keepends=True)
LONG_LINES = make_export(make_entries(9)).splitlines(keepends=True)


def test_an_untouched_export_is_intact() -> None:
    report = check(EXPORT)

    assert report.problems == ()
    assert report.is_intact
    assert (report.org, report.count, report.key_trusted) == ("acme", 4, True)
    assert report.head == make_entries(4)[-1].hash


def test_an_empty_ledger_can_be_exported_and_verified() -> None:
    report = check(make_export([]))

    assert report.is_intact
    assert report.root == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
def test_every_flip_of_a_byte_in_an_entry_names_that_entry(mask: int) -> None:
    missed: list[tuple[int, int]] = []
    start = len(LINES[0])
    for number, line in enumerate(LINES[1:], start=1):
        for offset in range(len(line)):
            damaged = bytearray(EXPORT)
            damaged[start + offset] ^= mask
            if number not in blamed(check(bytes(damaged))):
                missed.append((number, offset))
        start += len(line)

    assert missed == []


@pytest.mark.parametrize("mask", [0x01, 0x02, 0x20])
def test_every_flip_of_a_byte_in_the_header_is_detected(mask: int) -> None:
    missed: list[int] = []
    for offset in range(len(LINES[0])):
        damaged = bytearray(EXPORT)
        damaged[offset] ^= mask
        try:
            intact = check(bytes(damaged), trusted=False).is_intact
        except BadInput:
            intact = False
        if intact:
            missed.append(offset)

    assert missed == []


@given(st.integers(0, len(EXPORT) - 1), st.integers(1, 255))
def test_any_other_change_of_a_byte_is_detected_too(offset: int, mask: int) -> None:
    damaged = bytearray(EXPORT)
    damaged[offset] ^= mask

    if offset < len(LINES[0]):
        with contextlib.suppress(BadInput):
            assert not check(bytes(damaged)).is_intact
    else:
        assert not check(bytes(damaged)).is_intact


@pytest.mark.parametrize("removed", range(1, 9))
def test_a_deleted_entry_is_named_by_its_gap(removed: int) -> None:
    lines = LONG_LINES[:removed] + LONG_LINES[removed + 1 :]

    report = check(b"".join(lines))

    assert removed + 1 in blamed(report)
    assert any(f"missing before it: {removed}." in item.what for item in report.problems)


@pytest.mark.parametrize("kept", range(9))
def test_a_tail_cut_off_is_detected_by_the_signed_count(kept: int) -> None:
    report = check(b"".join(LONG_LINES[: kept + 1]))

    assert kept + 1 in blamed(report)
    assert any(f"are missing, in all {9 - kept}" in item.what for item in report.problems)


@pytest.mark.parametrize("first", range(1, 9))
def test_two_neighbours_swapped_are_named(first: int) -> None:
    lines = list(LONG_LINES)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]

    assert {first, first + 1} <= blamed(check(b"".join(lines)))


@pytest.mark.parametrize("place", range(1, 10))
def test_a_repeated_entry_is_named(place: int) -> None:
    lines = [*LONG_LINES[: place + 1], LONG_LINES[place], *LONG_LINES[place + 1 :]]

    assert place in blamed(check(b"".join(lines)))


def test_an_entry_forged_in_between_is_detected() -> None:
    entries = make_entries(9)
    forged = Entry(**{**entries[4].to_json(), "actor": "Mallory"})
    line = json.loads(LONG_LINES[5]) | {"actor": "Mallory", "hash": forged.hash}
    forged_line = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    report = check(b"".join([*LONG_LINES[:5], forged_line.encode() + b"\n", *LONG_LINES[6:]]))

    assert 6 in blamed(report)
    assert any("Merkle root" in item.what for item in report.problems)


def test_a_chain_rebuilt_whole_is_detected_by_the_signed_root() -> None:
    rebuilt = make_export(make_entries(4, note="rewritten")).splitlines(keepends=True)

    report = check(b"".join([LINES[0], *rebuilt[1:]]))

    assert any("not the signed root" in item.what for item in report.problems)
    assert any("not the signed head" in item.what for item in report.problems)


def test_a_forger_with_another_key_is_detected_by_the_trusted_key_only() -> None:
    forged = make_export(make_entries(4, note="rewritten"), OTHER_KEY)

    assert not check(forged).is_intact
    assert any("another key" in item.what for item in check(forged).problems)
    assert check(forged, trusted=False).is_intact
    assert not check(forged, trusted=False).key_trusted


def test_entries_of_another_organisation_are_named() -> None:
    report = check(
        b"".join([LINES[0], *make_export(make_entries(4, org="evil")).splitlines(True)[1:]])
    )

    assert {1, 2, 3, 4} <= blamed(report)


def test_each_of_several_bad_entries_is_listed_and_no_good_one() -> None:
    lines = [
        line.replace(b"checkpoint", b"Checkpoint") if n in {2, 7} else line
        for n, line in enumerate(LONG_LINES)
    ]

    report = check(b"".join(lines))

    assert blamed(report) - {None} == {2, 7}


def test_lines_after_the_end_are_detected() -> None:
    extra = make_entries(5)[-1]
    line = make_export(make_entries(5)).splitlines(keepends=True)[-1]

    report = check(EXPORT + line)

    assert extra.seq in blamed(report)


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"[1]\n", LINES[1], b"\xff" * 10])
def test_a_file_that_is_no_export_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        check(data)

    assert refused.value.code == "ledger_export_invalid"


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(EXPORT)

    assert verify_export(path, KEY.public_key()).is_intact


def reference_root(leaves: list[bytes]) -> bytes:
    """Follow RFC 6962 section 2.1 to the letter."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = reference_root(leaves[:split]), reference_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_the_merkle_root_is_that_of_rfc_6962(leaves: list[bytes]) -> None:
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)

    assert tree.root() == reference_root(leaves).hex()
    assert tree.size == len(leaves)


def test_an_entry_hash_is_over_rfc_8785_bytes() -> None:
    entry = Entry(
        org="o",
        seq=1,
        prev=GENESIS,
        at=AT,
        actor="a",
        action="b",
        subject="s",
        payload={"b": 1.0, "a": "é"},
    )
    expected = (
        '{"action":"b","actor":"a","at":"' + AT + '","org":"o","payload":{"a":"é","b":1},'
        '"prev":"' + GENESIS + '","seq":1,"subject":"s"}'
    ).encode()

    assert entry.canonical_bytes() == expected
    assert entry.hash == hashlib.sha256(expected).hexdigest()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2**53), 2**53, allow_nan=False).filter(lambda n: abs(n) <= 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from("abc"), json_values))
def test_any_payload_survives_the_export(payload: dict[str, Any]) -> None:
    entry = Entry(
        org="acme", seq=1, prev=GENESIS, at=AT, actor="a", action="b", subject="s", payload=payload
    )

    assert check(make_export([entry])).is_intact


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 0},
        {"seq": True},
        {"seq": 2**53},
        {"prev": "A" * 64},
        {"prev": "0" * 63},
        {"at": None},
        {"payload": []},
        {"payload": {"x": 2**53}},
        {"payload": {"x": float("inf")}},
        {"payload": {"x": float("nan")}},
        {"payload": {"x": b"bytes"}},
        {"payload": {"x": {1: 2}}},
        {"payload": {"x": object()}},
    ],
)
def test_an_entry_that_json_cannot_hold_exactly_is_refused(change: dict[str, Any]) -> None:
    sound = make_entries(1)[0].to_json()

    with pytest.raises(BadInput) as refused:
        Entry(**{**sound, **change})

    assert refused.value.code == "ledger_entry_invalid"


@pytest.mark.parametrize("payload", [{"x": "\ud800"}, {"x": "y" * (5 << 20)}])
def test_an_entry_that_cannot_be_written_is_refused(payload: dict[str, Any]) -> None:
    entry = Entry(**{**make_entries(1)[0].to_json(), "payload": payload})

    with pytest.raises(BadInput):
        entry.canonical_bytes()


def test_a_payload_nested_too_deep_is_refused() -> None:
    payload: dict[str, Any] = {}
    for _ in range(40):
        payload = {"x": payload}

    with pytest.raises(BadInput, match="deeper"):
        Entry(**{**make_entries(1)[0].to_json(), "payload": payload})


@pytest.mark.parametrize(
    "change",
    [
        {"size": 5},
        {"root": "1" * 64},
        {"head": "1" * 64},
        {"at": "x"},
        {"org": "x"},
        {"kid": "x"},
        {"signature": "0" * 128},
        {"signature": ""},
    ],
)
def test_a_signature_covers_every_member(change: dict[str, Any]) -> None:
    sound = {"org": "acme", "size": 4, "root": "0" * 64, "head": GENESIS, "at": AT}
    signed = sign_root(KEY, **sound)  # type: ignore[arg-type]
    altered = type(signed)(**{name: getattr(signed, name) for name in signed.__slots__} | change)

    assert verify_root(signed, KEY.public_key())
    assert not verify_root(altered, KEY.public_key())
    assert not verify_root(signed, OTHER_KEY.public_key())


def test_a_public_key_reads_back_as_itself() -> None:
    key = KEY.public_key()

    assert load_public_key(public_key_pem(key).encode()) == key
    assert key_id(key) == hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def test_only_an_ed25519_key_is_read() -> None:
    x25519 = X25519PrivateKey.generate().public_key()
    pem = x25519.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(BadInput, match="not an Ed25519"):
        load_public_key(pem)
    with pytest.raises(BadInput, match="not PEM"):
        load_public_key(b"nonsense")
