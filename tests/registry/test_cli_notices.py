"""`lictor notices` writes what a release has to carry, and names what is missing."""

import json
from pathlib import Path

from click.testing import CliRunner

from registry.cli.notices import notices

SCENARIO = """
models:
  - {id: acme/Llama-tuned, license: llama3.1, parents: [{id: meta-llama/Llama-3.1-8B}]}
  - {id: meta-llama/Llama-3.1-8B, license: llama3.1}
use: {purposes: [redistribution], commercial: true}
subject: acme/Llama-tuned
as_of: 2026-11-23
"""


def test_the_files_are_written_and_the_missing_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)

    done = CliRunner().invoke(notices, [str(tmp_path / "s.yaml"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "missing: LICENSES/llama-3.1.txt" in done.stderr
    notice = (tmp_path / "out" / "NOTICE").read_text()
    assert notice.startswith("Llama 3.1 is licensed under the Llama 3.1 Community License")
    assert "“Built with Llama”" in (tmp_path / "out" / "ATTRIBUTION.md").read_text()


def test_json_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)

    done = CliRunner().invoke(notices, [str(tmp_path / "s.yaml"), "--json"])
    told = json.loads(done.stdout)
    assert set(told["files"]) == {"NOTICE", "ATTRIBUTION.md"}
    assert len(told["missing"]) == 1
