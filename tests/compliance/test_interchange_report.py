"""Check the report for lawyers: what it says, that it is escaped, and that it prints the same."""

import contextlib
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from compliance.interchange.formats import MEDIA, SUFFIX, NotAsJudgedError, write
from compliance.interchange.report_html import report_html
from compliance.rules.assessment import DISCLAIMER
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import DatasetFact, Facts, ModelFacts
from compliance.rules.library import bundled_library
from compliance.rules.scenario import load_scenario
from tests.compliance.build_facts import TODAY, make_use

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>&amp;"
LITIGATION = Path("docs/examples/litigation.yaml")
SCRIPT = (
    "import hashlib, sys\nfrom datetime import date\nfrom pathlib import Path\n"
    "from compliance.interchange.formats import write\n"
    "from compliance.rules.evaluate import evaluate\n"
    "from compliance.rules.library import bundled_library\n"
    "from compliance.rules.scenario import load_scenario\n"
    "facts = load_scenario(Path('docs/examples/litigation.yaml'), as_of=date(2026, 11, 23))\n"
    "library = bundled_library()\njudged = evaluate(facts, library)\n"
    "for form in sys.argv[1:]:\n"
    "    made = write(form, judged, facts, library, version='1')\n"
    "    print(form, hashlib.sha256(made).hexdigest())\n"
)


class Tags(HTMLParser):
    """Gather the tags and attributes that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def page_of(facts: Facts) -> str:
    library = bundled_library()
    return report_html(evaluate(facts, library), facts, library)


def test_the_report_says_what_a_lawyer_asks() -> None:
    facts = load_scenario(LITIGATION, as_of=TODAY)
    judged = evaluate(facts, bundled_library())
    page = page_of(facts)

    assert "DENY: this use is not permitted." in page
    assert "What ended" in page
    assert "terminate as of the date such litigation is filed" in page
    assert "2026-03-01" in page
    assert DISCLAIMER in page
    for digest in (judged.facts_digest, judged.catalogue_digest, judged.digest()):
        assert digest in page


def test_every_finding_is_on_the_page() -> None:
    facts = load_scenario(LITIGATION, as_of=TODAY)
    judged = evaluate(facts, bundled_library())

    assert page_of(facts).count("<h3>") == len(judged.findings) + len(judged.terminated)


def test_hostile_names_are_text_and_no_markup() -> None:
    data = (DatasetFact(id=HOSTILE, license=HOSTILE),)
    model = ModelFacts(id=HOSTILE, license="other", license_name=HOSTILE, datasets=data)
    use = make_use(domains=(HOSTILE,), jurisdictions=(HOSTILE,))
    tags = Tags()

    tags.feed(page_of(Facts(models=(model,), subject=HOSTILE, as_of=TODAY, use=use)))

    assert tags.seen.isdisjoint({"script", "img", "a", "link", "iframe"})
    assert tags.attributes <= {"lang", "charset", "class"}


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = page_of(load_scenario(LITIGATION, as_of=TODAY))

    assert not re.search(r"(?:src|href)=|url\(|@import", page)


def test_every_format_is_the_same_bytes_in_another_process() -> None:
    forms = sorted(MEDIA)
    seeds = ("1", "2")

    told = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, *forms],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in seeds
    ]

    assert told[0] == told[1]
    assert len(told[0].splitlines()) == len(forms)


def test_the_pdf_names_what_it_is_about() -> None:
    facts, library = load_scenario(LITIGATION, as_of=TODAY), bundled_library()

    made = write("pdf", evaluate(facts, library), facts, library, version="1")
    words = b"".join(_unpacked(made))

    assert b"/Title (example/support-nano-9b, judged on 2026-11-23)" in words
    assert b"/Creator (Lictor)" in words
    assert b"/CreationDate (D:20261123000000" in words


def test_the_pdf_holds_the_words_of_the_page(tmp_path: Path) -> None:
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("NOT CHECKED: no pdftotext (Debian: poppler-utils)")
    facts, library = load_scenario(LITIGATION, as_of=TODAY), bundled_library()
    file = tmp_path / "report.pdf"
    file.write_bytes(write("pdf", evaluate(facts, library), facts, library, version="1"))

    done = subprocess.run([reader, str(file), "-"], capture_output=True, text=True, check=True)

    assert "terminate as of the date such litigation is filed" in " ".join(done.stdout.split())
    assert "not legal advice" in " ".join(done.stdout.split())


def _unpacked(pdf: bytes) -> Iterator[bytes]:
    for packed in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        with contextlib.suppress(zlib.error):
            yield zlib.decompress(packed)


def test_a_document_never_mixes_a_judgement_with_other_facts() -> None:
    facts, library = load_scenario(LITIGATION, as_of=TODAY), bundled_library()
    judged = evaluate(facts, library)
    other = replace(facts, use=make_use(commercial=False))

    for form in MEDIA:
        with pytest.raises(NotAsJudgedError, match="judge again"):
            write(form, judged, other, library, version="1")


def test_every_format_has_a_media_type_and_a_suffix() -> None:
    assert set(MEDIA) == set(SUFFIX)
