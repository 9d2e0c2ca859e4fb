"""Check the bills of materials with the formats' own validators."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx

from compliance.interchange.cyclonedx import bill_of_materials, licences_of
from compliance.interchange.spdx import NO_ASSERTION, spdx_document
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import DatasetFact, Facts, LicenceText, ModelFacts, ParentLink
from compliance.rules.library import bundled_library
from compliance.rules.scenario import load_scenario
from tests.compliance.build_facts import OCTOBER, TODAY, make_use

HOSTILE = 'a"b<&>/../\u202e\n%s{}/x y'
SCENARIOS = sorted(Path("tests/scenarios").glob("*/scenario.yaml"))
SCHEMAS = {"1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}
SHA = "ab" * 32


def facts_of(*models: ModelFacts) -> Facts:
    return Facts(models=models, subject=models[0].id, as_of=TODAY, use=make_use())


def bom(facts: Facts, spec: str = "1.6", **more: Any) -> dict[str, Any]:
    library = bundled_library()
    judged = evaluate(facts, library)
    return bill_of_materials(judged, facts, library, version="1.0", spec=spec, **more)


def graph(facts: Facts, **more: Any) -> list[dict[str, Any]]:
    library = bundled_library()
    made = spdx_document(evaluate(facts, library), facts, library, version="1.0", **more)
    return list(made["@graph"])


def faults_of_bom(document: dict[str, Any]) -> Any:
    return JsonStrictValidator(SCHEMAS[document["specVersion"]]).validate_str(json.dumps(document))


def faults_of_spdx(elements: list[dict[str, Any]]) -> list[str]:
    """Parse with SPDX's own bindings, which check types, enums, patterns and cardinalities."""
    held = spdx.SHACLObjectSet()
    document = {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": elements}
    try:
        spdx.JSONLDDeserializer().deserialize_data(document, held)
        spdx.JSONLDSerializer().serialize_data(held)
    except (ValueError, TypeError, KeyError) as error:
        return [str(error)]
    return sorted(str(one) for one in held.link())


def licensed(elements: list[dict[str, Any]], name: str, how: str) -> str:
    """Read a relation back: the expression that a package's licence has, or NoAssertion."""
    by_id = {one.get("spdxId"): one for one in elements}
    here = next(
        one["spdxId"] for one in elements if one.get("name") == name and "Package" in one["type"]
    )
    (to,) = next(
        one["to"]
        for one in elements
        if one.get("from") == here and one["relationshipType"] == f"has{how}License"
    )
    return to if to == NO_ASSERTION else str(by_id[to]["simplelicensing_licenseExpression"])


@pytest.mark.parametrize("path", SCENARIOS[::8], ids=lambda path: path.parent.name)
def test_documents_of_every_kind_of_scenario_are_valid(path: Path) -> None:
    facts = load_scenario(path, as_of=date(2026, 11, 23))

    assert faults_of_bom(bom(facts)) is None
    assert faults_of_bom(bom(facts, "1.7")) is None
    assert faults_of_spdx(graph(facts)) == []


def test_the_validators_notice_what_is_wrong() -> None:
    facts = facts_of(ModelFacts(id="a/b", license="mit"))
    broken_bom, broken_graph = bom(facts), graph(facts)
    broken_bom["metadata"]["component"]["licenses"] = [{"license": {"id": "kimi-k3"}}]
    package = next(one for one in broken_graph if one["type"] == "ai_AIPackage")
    package["software_primaryPurpose"] = "brain"
    lost = [one for one in graph(facts) if one["type"] != "ai_AIPackage"]

    assert faults_of_bom(broken_bom) is not None
    assert faults_of_spdx(broken_graph) != []
    assert faults_of_spdx(lost) != []


def test_every_spdx_id_of_the_catalogue_may_stand_as_an_id() -> None:
    listed = {one.key: one.spdx for one in bundled_library().licences.values() if one.spdx}
    models = [ModelFacts(id=f"a/{key}", license_pin=key) for key in listed]
    top = ModelFacts(id="a/top", parents=tuple(ParentLink(id=one.id) for one in models))
    document = bom(facts_of(top, *models))
    told = {one["name"]: licences_of(one, "concluded") for one in document["components"]}

    assert faults_of_bom(document) is None
    assert told == {key: [spdx_id] for key, spdx_id in listed.items()}


def test_a_name_on_a_card_is_declared_and_concludes_nothing() -> None:
    facts = facts_of(ModelFacts(id="a/b", license="apache-2.0"))

    component = bom(facts)["metadata"]["component"]

    assert licences_of(component, "declared") == ["Apache-2.0"]
    assert licences_of(component, "concluded") == []
    assert licensed(graph(facts), "a/b", "Declared") == "Apache-2.0"
    assert licensed(graph(facts), "a/b", "Concluded") == NO_ASSERTION


def test_a_pinned_licence_without_spdx_id_is_named_and_concluded() -> None:
    facts = facts_of(ModelFacts(id="a/b", license="mit", license_pin=OCTOBER))

    component = bom(facts)["metadata"]["component"]

    assert licences_of(component, "declared") == ["MIT"]
    (name,) = licences_of(component, "concluded")
    assert name.startswith("NVIDIA Open Model License")
    assert all("id" not in one["license"] for one in component["licenses"][1:])
    assert licensed(graph(facts), "a/b", "Concluded") == f"LicenseRef-lictor-{OCTOBER}"


def test_nothing_said_is_nothing_asserted() -> None:
    facts = facts_of(ModelFacts(id="a/b", parents=(ParentLink(id="nobody/knows"),)))

    document, elements = bom(facts), graph(facts)

    assert "licenses" not in document["metadata"]["component"]
    assert "licenses" not in document["components"][0]
    for name in ("a/b", "nobody/knows"):
        assert licensed(elements, name, "Declared") == NO_ASSERTION
        assert licensed(elements, name, "Concluded") == NO_ASSERTION


def test_a_choice_is_one_expression_and_stays_beside_what_is_proved() -> None:
    facts = facts_of(ModelFacts(id="a/b", license="MIT OR Apache-2.0", license_pin="mit"))

    for spec in ("1.6", "1.7"):
        document = bom(facts, spec)
        component = document["metadata"]["component"]
        assert faults_of_bom(document) is None
        assert licences_of(component, "declared") == ["MIT OR Apache-2.0"]
        assert licences_of(component, "concluded") == ["MIT"]
    assert licensed(graph(facts), "a/b", "Declared") == "MIT OR Apache-2.0"


def test_lineage_and_data_are_components_and_relations() -> None:
    base = ModelFacts(id="b/base", license="mit")
    data = (
        DatasetFact(id="d/faq", license="cc-by-4.0", use="training"),
        DatasetFact(id="d/faq", license="mit", use="evaluation"),
    )
    facts = facts_of(
        ModelFacts(id="a/b", parents=(ParentLink(id="b/base", relation="merge"),), datasets=data),
        base,
    )

    document, elements = bom(facts), graph(facts)

    subject = document["metadata"]["component"]
    assert [one["name"] for one in subject["pedigree"]["ancestors"]] == ["base"]
    assert {one["bom-ref"] for one in document["components"]} == {
        "model:b/base", "data:d/faq", "data:d/faq#2",
    }  # fmt: skip
    kinds = {one.get("relationshipType"): one.get("comment") for one in elements}
    assert (kinds["descendantOf"], kinds["trainedOn"], kinds["testedOn"]) == (
        "merge", "training", "evaluation",
    )  # fmt: skip


def test_hashes_of_the_manifest_and_of_licence_files_are_carried() -> None:
    text = LicenceText(path="LICENSE", text="words", sha256=SHA)
    facts = facts_of(ModelFacts(id="a/b", license="mit", licence_texts=(text,)))
    files = {"a/b": {"model.safetensors": "cd" * 32}}

    document, elements = bom(facts, files=files), graph(facts, files=files)

    held = {one["name"]: one["hashes"] for one in document["metadata"]["component"]["components"]}
    assert held == {
        "LICENSE": [{"alg": "SHA-256", "content": SHA}],
        "model.safetensors": [{"alg": "SHA-256", "content": "cd" * 32}],
    }
    assert faults_of_bom(document) is None
    assert faults_of_spdx(elements) == []
    assert document["serialNumber"] != bom(facts)["serialNumber"]


def test_duties_travel_with_the_model_whose_licence_asks() -> None:
    path = Path("tests/scenarios/shipping-october-2025-without-papers/scenario.yaml")
    facts = load_scenario(path, as_of=TODAY)
    document = bom(facts)
    parts = [document["metadata"]["component"], *document["components"]]

    names = {one["name"] for part in parts for one in part.get("properties", ())}

    assert any(name.startswith("lictor:obligation:nvidia-open-model-2025-10-24/") for name in names)
    assert any(name.startswith("lictor:clause:nvidia-open-model-2025-10-24/") for name in names)


def test_hostile_names_stay_valid_and_apart() -> None:
    data = (DatasetFact(id=HOSTILE, license=HOSTILE),)
    facts = facts_of(
        ModelFacts(
            id=HOSTILE, license="other", license_name=HOSTILE, license_link="javascript:1",
            datasets=data,
        ),
        ModelFacts(id="a-b", license="other", license_name=HOSTILE.replace("<", ">")),
    )  # fmt: skip

    document, elements = bom(facts), graph(facts)

    assert faults_of_bom(document) is None
    assert faults_of_spdx(elements) == []
    assert licences_of(document["metadata"]["component"], "declared") == [HOSTILE]
    assert "url" not in json.dumps(document)


def test_the_order_of_input_does_not_show() -> None:
    models = (
        ModelFacts(id="a/b", parents=(ParentLink(id="c/d"), ParentLink(id="e/f"))),
        ModelFacts(id="c/d", license="mit"),
        ModelFacts(id="e/f", license="other"),
    )
    turned = Facts(models=models[::-1], subject="a/b", as_of=TODAY, use=make_use())

    assert bom(facts_of(*models)) == bom(turned)
    assert graph(facts_of(*models)) == graph(turned)


def test_an_unknown_version_of_the_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"choose 1\.6 or 1\.7"):
        bom(facts_of(ModelFacts(id="a/b")), "1.5")
