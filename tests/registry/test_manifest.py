import os
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.artifact.folder import MAX_FILES
from registry.artifact.manifest import FileEntry, Manifest, manifest_of, verify
from registry.artifact.paths import path_fault, path_faults
from registry.errors import BadInput

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
segments = st.from_regex(r"[a-z0-9_]{1,8}[a-z0-9]", fullmatch=True).filter(
    lambda text: path_fault(text) is None
)
entries = st.builds(
    FileEntry,
    path=st.lists(segments, min_size=1, max_size=3).map("/".join),
    size=st.integers(0, 2**53 - 1),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
)
file_lists = st.lists(entries, min_size=1, max_size=12).filter(
    lambda found: not list(path_faults(entry.path for entry in found))
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "checkpoint"
    (root / "assets").mkdir(parents=True)
    (root / "config.json").write_bytes(b"{}")
    (root / "README.md").write_bytes(b"# card\n")
    (root / "assets" / "empty.txt").write_bytes(b"")
    return root


def codes(error: pytest.ExceptionInfo[BadInput]) -> list[str]:
    return [fault.code for fault in error.value.faults]


@given(file_lists)
def test_a_manifest_reads_back_as_itself(found: list[FileEntry]) -> None:
    manifest = Manifest(tuple(found))

    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_bytes(manifest.canonical_bytes()) == manifest


@given(file_lists, st.randoms(use_true_random=False))
def test_the_order_of_files_changes_nothing(
    found: list[FileEntry], shuffler: random.Random
) -> None:
    shuffled = list(found)
    shuffler.shuffle(shuffled)

    assert Manifest(tuple(shuffled)).digest == Manifest(tuple(found)).digest


def test_the_digest_is_over_the_documented_bytes() -> None:
    manifest = Manifest((FileEntry("b", 0, EMPTY), FileEntry("a", 0, EMPTY)))

    assert manifest.canonical_bytes() == (
        b'{"files":[{"path":"a","sha256":"' + EMPTY.encode() + b'","size":0},'
        b'{"path":"b","sha256":"' + EMPTY.encode() + b'","size":0}],'
        b'"schema":"lictor.manifest/1"}'
    )
    assert manifest.digest == (
        "sha256:805078c539cc063d6128cee96e92f2128aa197b7865bab8e88aa1cb4117b9f51"
    )


def test_a_folder_is_hashed_file_by_file(folder: Path) -> None:
    manifest = manifest_of(folder)

    assert [(e.path, e.size) for e in manifest.files] == [
        ("README.md", 7),
        ("assets/empty.txt", 0),
        ("config.json", 2),
    ]
    assert manifest.entry("assets/empty.txt") == FileEntry("assets/empty.txt", 0, EMPTY)
    assert manifest.total_bytes == 9


def test_progress_rises_to_the_total(folder: Path) -> None:
    (folder / "big.txt").write_bytes(b"x" * (3 << 20))
    seen: list[tuple[int, int]] = []

    manifest = manifest_of(folder, progress=lambda done, total: seen.append((done, total)))

    assert seen == sorted(seen)
    assert len(seen) >= 5
    assert seen[-1] == (manifest.total_bytes, manifest.total_bytes)


def test_what_git_and_the_hub_client_leave_is_not_part(folder: Path) -> None:
    before = manifest_of(folder)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")

    assert manifest_of(folder) == before


def test_verify_lists_extra_missing_and_changed_sorted(folder: Path) -> None:
    (folder / "z.txt").write_text("z")
    manifest = manifest_of(folder)
    (folder / "config.json").write_bytes(b"[]")
    (folder / "README.md").write_bytes(b"longer than before")
    (folder / "z.txt").unlink()
    (folder / "b.txt").write_text("b")
    (folder / "a.txt").write_text("a")

    difference = verify(folder, manifest)

    assert difference.extra == ("a.txt", "b.txt")
    assert difference.missing == ("z.txt",)
    assert difference.changed == ("README.md", "config.json")
    assert str(difference).startswith("changed: README.md, config.json; missing: z.txt; extra")


def test_an_untouched_folder_shows_no_difference(folder: Path) -> None:
    assert verify(folder, manifest_of(folder)).is_empty


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../b",
        "a//b",
        "./a",
        "a\\b",
        "C:evil",
        "a b",
        "nul",
        "COM1.txt",
        "trailing.",
        "a\x00b",
        "cafe\u0301",
        "caf\u00e9",
        "\ud800",
        "-" * 256,
        "a/a/a/a/a/a/a/a/a",
        "line\nbreak",
    ],
)
def test_a_hostile_path_is_refused(path: str) -> None:
    with pytest.raises(BadInput) as refused:
        Manifest((FileEntry(path, 0, EMPTY),))

    assert "path_refused" in codes(refused)
    assert refused.value.detail.isprintable()


@pytest.mark.parametrize("path", ["a", ".gitattributes", "a/b/c/d/e/f/g/h", "console.txt", "-x"])
def test_an_ordinary_path_passes(path: str) -> None:
    assert path_fault(path) is None


@given(st.text(max_size=300))
def test_no_name_that_passes_can_leave_the_folder(path: str) -> None:
    if path_fault(path) is None:
        assert os.path.normpath(f"/root/{path}") == f"/root/{path}"


@pytest.mark.parametrize(
    ("first", "second"),
    [("README.md", "readme.md"), ("Dir/a", "dir/b"), ("a", "a"), ("a", "a/b")],
)
def test_paths_that_clash_on_some_file_system_are_refused(first: str, second: str) -> None:
    with pytest.raises(BadInput) as refused:
        Manifest((FileEntry(first, 0, EMPTY), FileEntry(second, 0, EMPTY)))

    assert codes(refused) == ["path_clash"]


def test_every_fault_is_listed_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        Manifest((FileEntry("../x", -1, EMPTY), FileEntry("ok", 0, "ABC")))

    assert [fault.place for fault in refused.value.faults] == ["../x", "../x", "ok"]
    assert refused.value.code == "manifest_invalid"


def test_links_and_pipes_are_refused_together(folder: Path) -> None:
    (folder / "link.json").symlink_to("/etc/hostname")
    (folder / "linked").symlink_to("/etc")
    os.mkfifo(folder / "pipe")

    with pytest.raises(BadInput) as refused:
        manifest_of(folder)

    assert sorted(codes(refused)) == ["device_refused", "link_refused", "link_refused"]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("pytorch_model.bin", b"anything", "pickle_refused"),
        ("weights.pt", b"", "pickle_refused"),
        ("weights.dat", b"\x80\x04\x95rest", "pickle_refused"),
        ("README.txt", b"cposix\nsystem\n(S'id'\ntR.", "pickle_refused"),
        ("x.tar.gz", b"", "archive_refused"),
        ("notes.txt", b"PK\x03\x04rest", "archive_refused"),
        ("inner.txt", b"a" * 257 + b"ustar\x00", "archive_refused"),
        ("program.txt", b"\x7fELF\x02\x01\x01\x00", "format_refused"),
        ("fake.png", b"\x00\x01", "format_refused"),
        ("model.safetensors", b"\x80\x02", "safetensors_invalid"),
    ],
)
def test_code_and_containers_are_refused(
    folder: Path, name: str, content: bytes, code: str
) -> None:
    (folder / name).write_bytes(content)

    with pytest.raises(BadInput) as refused:
        manifest_of(folder)

    assert codes(refused) == [code]
    assert refused.value.faults[0].place == name


def test_a_renamed_torch_file_is_seen_as_a_pickle(folder: Path) -> None:
    with zipfile.ZipFile(folder / "weights.txt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")

    with pytest.raises(BadInput) as refused:
        manifest_of(folder)

    assert codes(refused) == ["pickle_refused"]


def test_a_header_length_that_looks_like_a_pickle_is_no_pickle(folder: Path) -> None:
    header = b"{" + b" " * 638 + b"}"
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)

    assert (folder / "model.safetensors").read_bytes()[:2] == b"\x80\x02"
    assert manifest_of(folder).entry("model.safetensors") is not None


def test_text_cut_inside_a_letter_is_still_text(folder: Path) -> None:
    (folder / "card.md").write_bytes(b"a" * 4095 + "é".encode() * 10)

    assert manifest_of(folder).entry("card.md") is not None


def test_a_file_that_grows_while_it_is_read_is_refused(folder: Path) -> None:
    (folder / "grows.txt").write_bytes(b"x" * (2 << 20))

    def grow(done: int, total: int) -> None:
        with (folder / "grows.txt").open("ab") as file:
            file.write(b"y")

    with pytest.raises(BadInput) as refused:
        manifest_of(folder, progress=grow)

    assert codes(refused) == ["file_changed"]


def test_too_many_files_are_refused() -> None:
    many = tuple(FileEntry(f"f{number}", 0, EMPTY) for number in range(MAX_FILES + 1))

    with pytest.raises(BadInput, match="more than 2000 files"):
        Manifest(many)


def test_an_empty_or_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no files"):
        manifest_of(tmp_path)
    with pytest.raises(BadInput, match="not a folder"):
        manifest_of(tmp_path / "absent")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"schema": "lictor.manifest/2", "files": []},
        {"schema": "lictor.manifest/1", "files": []},
        {"schema": "lictor.manifest/1", "files": {}},
        {"schema": "lictor.manifest/1", "files": [1]},
        {"schema": "lictor.manifest/1", "files": [{"path": "a", "size": True, "sha256": EMPTY}]},
        {"schema": "lictor.manifest/1", "files": [{"path": "a", "size": 1.0, "sha256": EMPTY}]},
        {"schema": "lictor.manifest/1", "files": [{"path": 1, "size": 1, "sha256": EMPTY}]},
        {"schema": "lictor.manifest/1", "files": [], "more": 1},
    ],
)
def test_a_malformed_manifest_is_refused(value: object) -> None:
    with pytest.raises(BadInput) as refused:
        Manifest.from_json(value)

    assert refused.value.code == "manifest_invalid"


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"{"])
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        Manifest.from_bytes(data)
