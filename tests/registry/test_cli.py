import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.artifact.manifest import manifest_of
from registry.ledger.chain import GENESIS, Entry, merkle_root, public_key_pem, sign_root
from registry.ledger.export import export_lines

NANO9 = "demo/metadata/nvidia-nemotron-nano-9b-v2/config.json"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def lictor(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if "DJANGO" not in key}
    return subprocess.run(
        [sys.executable, "-c", "from registry.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )


def answer(*arguments: str) -> Any:
    done = lictor(*arguments)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    entry = Entry(
        org="acme",
        seq=1,
        prev=GENESIS,
        at="2026-11-23",
        actor="a",
        action="b",
        subject="checkpoint",
        payload={},
    )
    signed = sign_root(
        KEY, org="acme", size=1, root=merkle_root([entry]), head=entry.hash, at="2026-11-23"
    )
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(export_lines([entry], signed, KEY.public_key())))
    return path


def test_a_plan_that_fits_exits_with_0() -> None:
    done = lictor("plan", NANO9, "--gpu", "a10g")

    assert done.returncode == 0
    assert "8,888,227,328 parameters" in done.stdout
    assert "fits: context 131,072, batch 1" in done.stdout


def test_a_plan_as_json_has_the_exact_numbers() -> None:
    made = answer("plan", NANO9, "--gpu", "a10g", "--context", "8192", "--json")

    assert made["weights_bytes"] == 17_776_454_656
    assert made["kv_bytes_per_token"] == 16_384
    assert made["state_bytes_per_sequence"] == 143_548_416
    assert made["max_batch_at_context"] == 13
    assert made["fits"] is True


def test_a_plan_that_does_not_fit_exits_with_1() -> None:
    done = lictor("plan", NANO9, "--gpu", "a10g", "--batch", "2")

    assert done.returncode == 1
    assert "does NOT fit" in done.stdout


def test_a_manifest_prints_the_digest_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    expected = manifest_of(tmp_path)

    document = answer("manifest", str(tmp_path), "--json")

    assert document == {"digest": expected.digest, "manifest": expected.to_json()}
    assert lictor("manifest", str(tmp_path)).stdout.splitlines()[-1] == expected.digest


def test_an_intact_ledger_exits_with_0(export: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(public_key_pem(KEY.public_key()))

    report = answer(
        "ledger", "verify", str(export), "--public-key", str(tmp_path / "key.pem"), "--json"
    )

    assert (report["intact"], report["count"], report["key_trusted"]) == (True, 1, True)


def test_a_ledger_that_vouches_for_itself_says_so(export: Path) -> None:
    done = lictor("ledger", "verify", str(export))

    assert done.returncode == 0
    assert "came from the file itself" in done.stderr


def test_a_tampered_ledger_exits_with_1_and_names_the_entry(export: Path) -> None:
    export.write_bytes(export.read_bytes().replace(b"checkpoint", b"checkpaint"))

    done = lictor("ledger", "verify", str(export))

    assert done.returncode == 1
    assert "entry 1 (line 2): the content does not match its hash" in done.stderr


def test_a_scenario_gives_the_judgement_of_the_rules() -> None:
    done = lictor("evaluate", "docs/examples/founding-case.yaml", "--json")
    document = json.loads(done.stdout)
    codes = {"allow": 0, "allow_with_conditions": 3, "needs_review": 4, "deny": 5}

    assert done.returncode == codes[document["decision"]]
    assert document["schema"] == "lictor.assessment/1"
    assert lictor("evaluate", "docs/examples/founding-case.yaml", "--json").stdout == done.stdout


def test_an_operators_folder_of_licences_counts_offline_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apache = Path("compliance/licences/apache-2.0.yaml").read_text(encoding="utf-8")
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "models: [{id: a/b, license: apache-2.0}]\nuse: {purposes: [internal], commercial: true}\n"
        "subject: a/b\nas_of: 2026-11-23\n"
    )
    own = tmp_path / "own"
    own.mkdir()
    rider = (
        "\n  - {id: rider, kind: noncommercial, section: '9', quote: No money., trigger: use,\n"
        "     actor: licensee, scope: model, effect: prohibit}\n"
    )
    (own / "apache-2.0.yaml").write_text(apache + rider, encoding="utf-8")

    assert lictor("evaluate", str(scenario)).returncode in (0, 3)
    monkeypatch.setenv("LICTOR_LICENCES", str(own))
    assert lictor("evaluate", str(scenario)).returncode == 5

    (own / "apache-2.0.yaml").write_text("key: apache-2.0\n", encoding="utf-8")
    done = lictor("evaluate", str(scenario))
    assert done.returncode == 2
    assert "apache-2.0.yaml.clauses: is required" in done.stderr


def test_a_filed_lawsuit_is_denied_with_its_clause() -> None:
    done = lictor("evaluate", "docs/examples/litigation.yaml")

    assert done.returncode == 5
    assert "Rights that ended" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan", "absent.json", "--gpu", "a10g"], "absent.json cannot be read"),
        (["plan", NANO9, "--gpu", "tpu"], "'tpu' is not known"),
        (["plan", NANO9, "--gpu", "a10g", "--batch", "0"], "batch must be at least 1"),
        (["plan", "README.md", "--gpu", "a10g"], "is not valid JSON"),
        (["plan", NANO9], "Missing option '--gpu'"),
        (["manifest", "absent"], "absent is not a folder"),
        (["ledger", "verify", "absent.jsonl"], "absent.jsonl: No such file"),
        (["ledger", "verify", "README.md"], "does not begin with a lictor.ledger/1 header"),
        (["evaluate", "absent.yaml"], "absent.yaml"),
        (["evaluate", "docs/examples/litigation.yaml", "--as-of", "soon"], "is not a day"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_input_exits_with_2_and_no_traceback(arguments: list[str], says: str) -> None:
    done = lictor(*arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "command", [[], ["plan"], ["manifest"], ["evaluate"], ["ledger"], ["ledger", "verify"]]
)
def test_help_shows_an_example(command: list[str]) -> None:
    done = lictor(*command, "--help")

    assert done.returncode == 0
    assert "Example:" in done.stdout or command == ["ledger"]


def test_help_and_offline_commands_load_neither_django_nor_torch() -> None:
    script = (
        "import sys\n"
        "from registry.cli import lictor\n"
        f"lictor(['plan', {NANO9!r}, '--gpu', 'a10g', '--json'], standalone_mode=False)\n"
    )
    heavy = "print(sorted({n.split('.')[0] for n in sys.modules} & {'django','torch','httpx'}))"

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"try:\n {script.replace(chr(10), chr(10) + ' ')}\nexcept SystemExit: pass\n{heavy}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_serve_hands_its_arguments_to_the_runtime(tmp_path: Path) -> None:
    fake = tmp_path / "inference"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "__main__.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)")
    shutil.copytree("registry", tmp_path / "registry", ignore=shutil.ignore_patterns("migrations"))

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from registry.cli import main; main()",
            "serve",
            "dir",
            "--unmanaged",
            "--port",
            "0",
            "--help",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )

    assert done.stdout == "['serve', 'dir', '--unmanaged', '--port', '0', '--help']\n"
    assert done.returncode == 7
