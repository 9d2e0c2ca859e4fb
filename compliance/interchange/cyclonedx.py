"""Write a CycloneDX bill of materials of a judged model and all it was made from.

Declared is what a card says, concluded what a text or a pin proves (see `licensing`). A licence
that SPDX has no id for is named, never put where an SPDX id belongs. No licence entry at all means
that nothing is asserted. Duties travel as `lictor:` properties of the model whose licence asks.
Source: CycloneDX 1.6 (ECMA-424) and 1.7, JSON, `machine-learning-model` and `modelCard`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from compliance.interchange.licensing import (
    Licensing,
    Name,
    concluded,
    declared,
    declared_of_data,
)
from compliance.interchange.naming import (
    TOOL,
    Files,
    clause_of,
    closure,
    data_sets,
    described,
    files_of,
    made_at,
    number_of,
    split_name,
)
from compliance.rules.assessment import DISCLAIMER, Assessment, Finding
from compliance.rules.catalogue import Library
from compliance.rules.facts import DatasetFact, Facts, ModelFacts

VERSIONS: Final = ("1.6", "1.7")
Component = dict[str, Any]
Properties = list[dict[str, str]]


def bill_of_materials(
    judged: Assessment,
    facts: Facts,
    library: Library,
    *,
    version: str,
    spec: str = "1.6",
    files: Files | None = None,
) -> dict[str, Any]:
    """Write the bill as plain data.

    `version` is this tool's, `spec` one of VERSIONS; `files` maps a model to the SHA-256 of its
    files, as its manifest has them.
    Raises: ValueError for another version of the format.
    """
    if spec not in VERSIONS:
        raise ValueError(f"CycloneDX {spec} is not written here; choose {' or '.join(VERSIONS)}")
    return _Writer(judged, facts, library, spec, files or {}).document(version)


class _Writer:
    def __init__(
        self, judged: Assessment, facts: Facts, library: Library, spec: str, files: Files
    ) -> None:
        self.judged = judged
        self.facts = facts
        self.library = library
        self.spec = spec
        self.files = files
        self.models = described(facts)
        self.names = closure(judged, facts)
        self.data = data_sets(self.names, facts)

    def document(self, version: str) -> dict[str, Any]:
        parts = [self._model(name) for name in self.names[1:]]
        parts += [self._data(ref, fact) for ref, fact in self.data.items()]
        number = number_of(self.judged, f"cyclonedx-{self.spec}", self.files)
        return {
            "$schema": f"http://cyclonedx.org/schema/bom-{self.spec}.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": self.spec,
            "serialNumber": f"urn:uuid:{number}",
            "version": 1,
            "metadata": {
                "timestamp": made_at(self.judged),
                "tools": {
                    "components": [{"type": "application", "name": TOOL, "version": version}]
                },
                "component": self._model(self.judged.subject),
                "properties": self._judgement(),
            },
            "components": parts,
            "dependencies": [self._depends(name) for name in self.names]
            + [{"ref": ref} for ref in self.data],
        }

    def _judgement(self) -> Properties:
        judged = self.judged
        return [
            _property("lictor:decision", judged.decision),
            _property("lictor:as_of", judged.as_of.isoformat()),
            _property("lictor:assessment", judged.digest()),
            _property("lictor:facts", judged.facts_digest),
            _property("lictor:catalogue", judged.catalogue_digest),
            _property("lictor:disclaimer", DISCLAIMER),
        ]

    def _model(self, name: str) -> Component:
        model = self.models.get(name)
        component: Component = {**_bare("machine-learning-model", name), "bom-ref": _ref(name)}
        self._license(
            component, declared(model, self.library), concluded(name, self.judged, self.library)
        )
        if model is not None and model.parents:
            component["pedigree"] = {"ancestors": [_ancestor(link) for link in _links(model)]}
        if parts := self._file_components(name):
            component["components"] = parts
        component["modelCard"] = self._card(name, model)
        component["properties"] = self._said_of(name, model)
        return component

    def _file_components(self, name: str) -> list[Component]:
        return [
            {
                "type": "file",
                "bom-ref": f"file:{name}:{path}",
                "name": path,
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
            for path, sha256 in files_of(name, self.models.get(name), self.files).items()
        ]

    def _card(self, name: str, model: ModelFacts | None) -> dict[str, Any]:
        card: dict[str, Any] = {"bom-ref": f"card:{name}"}
        parameters: dict[str, Any] = {}
        if refs := self._data_refs(model):
            parameters["datasets"] = [{"ref": ref} for ref in refs]
        if model is not None and model.modalities:
            parameters["inputs"] = [{"format": one} for one in sorted(set(model.modalities))]
        if parameters:
            card["modelParameters"] = parameters
        if name == self.judged.subject and self.facts.use.purposes:
            card["considerations"] = {"useCases": sorted(set(self.facts.use.purposes))}
        return card

    def _data_refs(self, model: ModelFacts | None) -> list[str]:
        held = () if model is None else model.datasets
        return [ref for ref, fact in self.data.items() if fact in held]

    def _said_of(self, name: str, model: ModelFacts | None) -> Properties:
        if model is None:
            return [_property("lictor:described", "no: nothing is known about this model")]
        found = [
            _property(f"lictor:declared:{label}", value)
            for label in ("license", "license_name", "license_link")
            if (value := getattr(model, label))
        ]
        for item in self.judged.binding_licences:
            if item.model == name:
                found.append(_property("lictor:binding", f"{item.licence} [{item.resolution}]"))
        for one in self.judged.terminated:
            if one.model == name:
                found.append(_property("lictor:ended", f"{one.licence} section {one.section}"))
        for finding in self.judged.findings:
            if finding.model == name and finding.status != "not_applicable":
                found.extend(self._finding(finding))
        return found

    def _finding(self, finding: Finding) -> Iterable[dict[str, str]]:
        clause = clause_of(finding, self.library)
        waived = f" (waived by {finding.waived_by})" if finding.waived_by else ""
        yield _property(f"lictor:clause:{clause}", finding.status + waived)
        if finding.status == "unmet" and finding.remedy:
            yield _property(f"lictor:obligation:{clause}", finding.remedy)

    def _data(self, ref: str, fact: DatasetFact) -> Component:
        component: Component = {
            **_bare("data", fact.id),
            "bom-ref": ref,
            "data": [{"type": "dataset", "name": fact.id}],
            "properties": [_property("lictor:use", fact.use)],
        }
        self._license(component, declared_of_data(fact, self.library), None)
        return component

    def _license(
        self, component: Component, said: Licensing | None, proved: Licensing | None
    ) -> None:
        """Set `licenses`; 1.6 holds an expression alone, so what is proved becomes evidence."""
        first = [] if said is None else _entries(said, "declared")
        second = [] if proved is None else _entries(proved, "concluded")
        if self.spec == "1.6" and said is not None and said.is_choice and second:
            component["evidence"] = {"licenses": second}
            second = []
        if first or second:
            component["licenses"] = [*first, *second]

    def _depends(self, name: str) -> dict[str, Any]:
        model = self.models.get(name)
        links = [] if model is None else [_ref(link.id) for link in model.parents]
        on = sorted({*links, *self._data_refs(model)} - {_ref(name)})
        return {"ref": _ref(name), "dependsOn": on} if on else {"ref": _ref(name)}


def _entries(said: Licensing, how: str) -> list[dict[str, Any]]:
    """Write entries that all bind, or the one expression of a choice."""
    if said.is_choice:
        return [{"expression": said.expression, "acknowledgement": how}]
    return [{"license": _named(one, how)} for one in said.names]


def _named(name: Name, how: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"acknowledgement": how}
    entry["id" if name.spdx else "name"] = name.spdx or name.title
    if not name.spdx and name.link:
        entry["url"] = name.link
    if name.key:
        entry["properties"] = [_property("lictor:licence", name.key)]
    return entry


def _links(model: ModelFacts) -> list[tuple[str, str]]:
    return sorted({(link.id, link.relation) for link in model.parents})


def _ancestor(link: tuple[str, str]) -> Component:
    name, relation = link
    return {
        **_bare("machine-learning-model", name),
        "properties": [_property("lictor:relation", relation), _property("lictor:ref", _ref(name))],
    }


def _ref(name: str) -> str:
    return f"model:{name}"


def _bare(kind: str, name: str) -> Component:
    group, short = split_name(name)
    component: Component = {"type": kind, "name": short}
    if group:
        component["group"] = group
    return component


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def licences_of(component: Mapping[str, Any], how: str) -> list[str]:
    """Read back the ids, names and expressions of a component that are declared or concluded."""
    entries = [*component.get("licenses", ()), *component.get("evidence", {}).get("licenses", ())]
    found = []
    for entry in entries:
        inner = entry.get("license", entry)
        if inner.get("acknowledgement") == how:
            found.append(inner.get("id") or inner.get("name") or inner["expression"])
    return found
