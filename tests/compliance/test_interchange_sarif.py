"""Check SARIF and workflow annotations: rules, levels, places, fingerprints, escapes."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from compliance.interchange.places import Judged
from compliance.interchange.sarif import annotation, annotations, level_of, sarif_log
from compliance.rules.assessment import Finding
from compliance.rules.evaluate import evaluate
from compliance.rules.library import bundled_library
from compliance.rules.scenario import load_scenario
from tests.compliance.build_facts import TODAY

# The parts of SARIF 2.1.0 that are written here, with the constraints its schema puts on them;
# nothing else may appear. The whole schema is not at hand offline.
_TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 1}},
    "required": ["text"],
    "additionalProperties": False,
}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_STRING = {"type": "string", "minLength": 1}
_RULE = _object(
    ("id",),
    id=_STRING,
    shortDescription=_TEXT,
    fullDescription=_TEXT,
    help=_TEXT,
    helpUri={"type": "string", "format": "uri", "pattern": "^https://"},
    properties={"type": "object"},
)
_LOCATION = _object(
    (),
    physicalLocation=_object(
        ("artifactLocation",),
        artifactLocation=_object(("uri",), uri={"type": "string", "pattern": r"^[^\s\\]+$"}),
        region=_object(("startLine",), startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations={
        "type": "array",
        "items": _object((), fullyQualifiedName=_STRING, kind={"enum": ["module"]}),
    },
)
_RESULT = _object(
    ("message", "ruleId", "ruleIndex", "level", "locations", "partialFingerprints"),
    ruleId=_STRING,
    ruleIndex={"type": "integer", "minimum": 0},
    level={"enum": ["none", "note", "warning", "error"]},
    message=_TEXT,
    locations={"type": "array", "minItems": 1, "items": _LOCATION},
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    properties={"type": "object"},
    suppressions={
        "type": "array",
        "items": _object(("kind",), kind={"enum": ["inSource", "external"]}, justification=_STRING),
    },
)
_DRIVER = _object(
    ("name",),
    name=_STRING,
    version=_STRING,
    shortDescription=_TEXT,
    fullDescription=_TEXT,
    rules={"type": "array", "uniqueItems": True, "items": _RULE},
)
SARIF = _object(
    ("version", "runs"),
    version={"const": "2.1.0"},
    runs={
        "type": "array",
        "items": _object(
            ("tool",),
            tool=_object(("driver",), driver=_DRIVER),
            results={"type": "array", "items": _RESULT},
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        ),
    },
    **{"$schema": {"type": "string", "format": "uri"}},
)
SCENARIOS = sorted(Path("tests/scenarios").glob("*/scenario.yaml"))


def judged(path: Path, day: date = TODAY, under: str = "") -> Judged:
    facts = load_scenario(path, as_of=day)
    text = path.read_text(encoding="utf-8")
    return Judged(under or path.as_posix(), evaluate(facts, bundled_library()), facts, text)


def log_of(*items: Judged) -> Any:
    (run,) = sarif_log(items, bundled_library(), version="1.0")["runs"]
    return run


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    text = "Preamble.\n\n2. If You institute patent litigation against\nany entity, it ends.\n"
    (tmp_path / "model" / "LICENSE").write_text(text)
    path = tmp_path / "scenario.yaml"
    path.write_text(
        "models:\n- id: a/b\n  license: cc-by-nc-4.0\n  license_text: model/LICENSE\n"
        "  parents:\n  - {id: un/known}\n"
        "use: {purposes: [hosted_service], commercial: true}\nsubject: a/b\n"
    )
    return path


@pytest.mark.parametrize("path", SCENARIOS[::8], ids=lambda path: path.parent.name)
def test_every_kind_of_scenario_gives_a_sound_log(path: Path) -> None:
    log = sarif_log([judged(path)], bundled_library(), version="1.0")

    jsonschema.validate(log, SARIF, format_checker=jsonschema.FormatChecker())
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    told = [(rules[one["ruleIndex"]]["id"], one["ruleId"]) for one in log["runs"][0]["results"]]
    assert all(first == second for first, second in told)


def test_a_rule_is_a_clause_of_a_licence() -> None:
    run = log_of(judged(Path("tests/scenarios/guardrail-october-2025-removed/scenario.yaml")))
    licence = bundled_library().licences["nvidia-open-model-2025-10-24"]
    clauses = {f"{licence.key}/{one.id}" for one in licence.clauses}

    spoken = {one["id"] for one in run["tool"]["driver"]["rules"]}

    assert f"{licence.key}/guardrail" in spoken
    assert {one for one in spoken if "/" in one} <= clauses


def test_a_result_points_at_the_line_that_describes_the_model(scenario: Path) -> None:
    one = judged(scenario, under="scenario.yaml")
    (first, *_) = log_of(one)["results"]
    finding = Finding(rule="x", status="unmet", severity="low", model="un/known", because="x")

    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "scenario.yaml"},
        "region": {"startLine": 2},
    }
    assert one.place_of(finding).line == 6


def test_a_quoted_clause_points_into_the_licence_file(scenario: Path) -> None:
    one = judged(scenario, under="here/scenario.yaml")
    finding = Finding(
        rule="litigation",
        status="violated",
        severity="critical",
        model="a/b",
        because="x",
        quote="If You institute patent litigation against any entity",
    )

    place = one.place_of(finding)

    assert (place.path, place.line) == ("here/model/LICENSE", 3)


def test_a_matter_points_at_the_matter() -> None:
    path = Path("docs/examples/litigation.yaml")
    lines = path.read_text().splitlines()
    one = judged(path)
    found = [item for item in one.assessment.findings if item.rule == "litigation"]

    place = one.place_of(next(item for item in found if item.status == "violated"))

    assert "m1" in lines[place.line - 1]


def test_fingerprints_survive_other_lines_and_other_days(scenario: Path) -> None:
    before = [one["partialFingerprints"] for one in log_of(judged(scenario))["results"]]
    scenario.write_text("# a comment\n\n" + scenario.read_text())

    later = log_of(judged(scenario, day=date(2026, 12, 24)))["results"]

    assert [one["partialFingerprints"] for one in later] == before
    assert len({str(one) for one in before}) == len(before) > 1


def test_levels_follow_severity_and_a_breach_is_an_error() -> None:
    base = Finding(rule="x", status="unmet", severity="low", model="a/b", because="x")

    assert level_of(base) == "note"
    assert level_of(replace(base, severity="medium")) == "warning"
    assert level_of(replace(base, severity="high")) == "error"
    assert level_of(replace(base, status="violated")) == "error"


def test_a_waived_finding_is_suppressed_and_gives_no_annotation() -> None:
    one = judged(Path("tests/scenarios/waiver-of-an-open-question/scenario.yaml"))
    waived = [item for item in one.assessment.findings if item.waived_by]

    results = log_of(one)["results"]

    assert waived
    assert len([item for item in results if "suppressions" in item]) == len(waived)
    assert len(annotations([one], bundled_library())) == len(results) - len(waived)


def test_nothing_in_an_annotation_begins_another() -> None:
    bad = "x\n::error file=etc::y\r%0A"

    line = annotation("error", "a,b:c.yaml", 3, bad, bad)

    assert "\n" not in line
    assert "\r" not in line
    assert line.startswith("::error file=a%2Cb%3Ac.yaml,line=3,title=x%0A%3A%3Aerror file=etc")
    assert line.endswith("::x%0A::error file=etc::y%0D%250A")


def test_a_path_with_spaces_is_a_sound_uri(scenario: Path) -> None:
    run = log_of(judged(scenario, under="my models/é.yaml"))

    uris = {
        one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]
    }

    assert uris == {"my%20models/%C3%A9.yaml"}
