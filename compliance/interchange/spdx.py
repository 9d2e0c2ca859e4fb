"""Write an SPDX 3.0.1 document (JSON-LD) of a judged model, its ancestors and their data.

SPDX 3.0.1 knows no obligations and no relation "fine-tuned on": ancestry is `descendantOf` with
the relation as a comment, and each finding travels as an annotation. What is not known is
NoAssertion. The AI and Dataset profiles ask for facts that a judgement does not hold (release time,
supplier, download location), so their classes are used and conformance to them is not claimed.
Source: SPDX 3.0.1, Core, Software, AI, Dataset and SimpleLicensing.
"""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

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
)
from compliance.rules.assessment import DISCLAIMER, Assessment, Finding
from compliance.rules.catalogue import Library
from compliance.rules.facts import DatasetFact, Facts, canonical_json

CONTEXT: Final = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
# The context's own short name of .../terms/ExpandedLicensing/NoAssertionLicense.
NO_ASSERTION: Final = "expandedlicensing_NoAssertionLicense"
PROFILES: Final = ["core", "software", "simpleLicensing"]
DATA_RELATIONS: Final = {"training": "trainedOn", "distillation": "trainedOn"}
_DATA_ELSE: Final = {"evaluation": "testedOn"}
_CREATION: Final = "_:creation"
Element = dict[str, Any]


def spdx_document(
    judged: Assessment,
    facts: Facts,
    library: Library,
    *,
    version: str,
    files: Files | None = None,
) -> dict[str, Any]:
    """Write the document as plain data.

    `version` is this tool's; `files` maps a model to the SHA-256 of its files.
    """
    held = files or {}
    space = f"urn:uuid:{number_of(judged, 'spdx-3.0.1', held)}"
    writer = _Writer(space, judged, facts, library, held)
    elements = writer.elements()
    created: Element = {
        "type": "CreationInfo",
        "@id": _CREATION,
        "specVersion": "3.0.1",
        "created": made_at(judged),
        "createdBy": [writer.name("agent", TOOL)],
        "createdUsing": [writer.name("tool", TOOL)],
    }
    agent = writer.element("SoftwareAgent", "agent", TOOL, name=TOOL)
    tool = writer.element("Tool", "tool", TOOL, name=f"{TOOL} {version}")
    document = writer.element(
        "SpdxDocument",
        "document",
        judged.subject,
        name=f"{judged.subject} as judged on {judged.as_of.isoformat()}",
        comment=DISCLAIMER,
        rootElement=[writer.name("model", judged.subject)],
        element=sorted(one["spdxId"] for one in (agent, tool, *elements)),
        profileConformance=PROFILES,
    )
    return {"@context": CONTEXT, "@graph": [created, agent, tool, document, *elements]}


class _Writer:
    """Make the elements of one document; every name is under the document's own."""

    def __init__(
        self, space: str, judged: Assessment, facts: Facts, library: Library, files: Files
    ) -> None:
        self.space = space
        self.judged = judged
        self.facts = facts
        self.library = library
        self.files = files
        self.names = closure(judged, facts)
        self.models = described(facts)
        self.data = data_sets(self.names, facts)

    def name(self, kind: str, *said: str) -> str:
        return f"{self.space}#{kind}/" + "/".join(quote(one, safe="") for one in said)

    def element(self, kind: str, room: str, *said: str, **more: Any) -> Element:
        return {
            "type": kind,
            "spdxId": self.name(room, *said),
            "creationInfo": _CREATION,
            **more,
        }

    def elements(self) -> list[Element]:
        found = [self._package(name) for name in self.names]
        found += [self._dataset(ref, fact) for ref, fact in self.data.items()]
        for name in self.names:
            found += self._of_model(name)
        for ref, fact in self.data.items():
            here = self.name("data", ref)
            found += self._licensed(here, "Declared", declared_of_data(fact, self.library))
        found += self._annotations()
        # Two models under one licence name it twice.
        return list({one["spdxId"]: one for one in found}.values())

    def _package(self, name: str) -> Element:
        more: Element = {"name": name, "software_primaryPurpose": "model"}
        if name == self.judged.subject:
            more["comment"] = (
                f"Judged {self.judged.decision} by catalogue {self.judged.catalogue_digest} on "
                f"facts {self.judged.facts_digest}."
            )
            if self.facts.use.purposes:
                purposes = ", ".join(sorted(set(self.facts.use.purposes)))
                more["ai_informationAboutApplication"] = f"Judged for: {purposes}."
        elif name not in self.models:
            more["comment"] = "Nothing is known about this model."
        return self.element("ai_AIPackage", "model", name, **more)

    def _dataset(self, ref: str, fact: DatasetFact) -> Element:
        return self.element(
            "dataset_DatasetPackage",
            "data",
            ref,
            name=fact.id,
            software_primaryPurpose="data",
            dataset_datasetType=["noAssertion"],
        )

    def _of_model(self, name: str) -> Iterable[Element]:
        model, here = self.models.get(name), self.name("model", name)
        yield from self._licensed(here, "Declared", declared(model, self.library))
        yield from self._licensed(here, "Concluded", concluded(name, self.judged, self.library))
        links = set() if model is None else {(one.id, one.relation) for one in model.parents}
        for parent, how in sorted(links):
            to = [self.name("model", parent)]
            yield self._relation(here, "descendantOf", to, comment=how)
        for ref, fact in self.data.items():
            if model is not None and fact in model.datasets:
                kind = {**DATA_RELATIONS, **_DATA_ELSE}.get(fact.use, "other")
                yield self._relation(here, kind, [self.name("data", ref)], comment=fact.use)
        yield from self._file_elements(name, here)

    def _file_elements(self, name: str, here: str) -> Iterable[Element]:
        held = files_of(name, self.models.get(name), self.files)
        for path, sha256 in held.items():
            digest = {"type": "Hash", "algorithm": "sha256", "hashValue": sha256}
            yield self.element("software_File", "file", name, path, name=path) | {
                "verifiedUsing": [digest]
            }
        if held:
            yield self._relation(here, "contains", [self.name("file", name, one) for one in held])

    def _licensed(self, here: str, how: str, said: Licensing | None) -> Iterable[Element]:
        kind = f"has{how}License"
        if said is None:
            yield self._relation(here, kind, [NO_ASSERTION])
            return
        own = [one for one in said.names if not one.spdx]
        entries = [
            {"type": "DictionaryEntry", "key": one.reference, "value": self._text_name(one)}
            for one in own
        ]
        more: Element = {"simplelicensing_customIdToUri": entries} if entries else {}
        yield self.element(
            "simplelicensing_LicenseExpression",
            "licence",
            said.expression,
            simplelicensing_licenseExpression=said.expression,
            **more,
        )
        for one in own:
            yield self._text(one)
        yield self._relation(here, kind, [self.name("licence", said.expression)])

    def _text_name(self, name: Name) -> str:
        return self.name("text", name.reference)

    def _text(self, name: Name) -> Element:
        """Give a licence that SPDX does not list an element; its text is not carried along."""
        found = f" The catalogue knows it at {name.link}" if name.link and name.key else ""
        return self.element(
            "simplelicensing_SimpleLicensingText",
            "text",
            name.reference,
            name=name.title,
            simplelicensing_licenseText="NOASSERTION",
            comment=f"The text itself is not part of this document.{found}",
        )

    def _relation(
        self, of: str, kind: str, to: list[str], *, comment: str | None = None
    ) -> Element:
        """Relate elements; that these are all there are is never asserted."""
        room = of.split("#", 1)[1]
        there = ("" if comment is None else comment, to[0].rsplit("#", 1)[-1])
        return self.element(
            "Relationship",
            "relation",
            kind,
            room,
            *there,
            relationshipType=kind,
            to=to,
            completeness="noAssertion",
            **{"from": of},
            **({} if comment is None else {"comment": comment}),
        )

    def _annotations(self) -> Iterable[Element]:
        for at, finding in enumerate(self.judged.findings):
            if finding.status == "not_applicable" or finding.model not in self.names:
                continue
            yield self.element(
                "Annotation",
                "finding",
                str(at),
                annotationType="review",
                subject=self.name("model", finding.model),
                contentType="application/json",
                statement=self._statement(finding),
            )

    def _statement(self, finding: Finding) -> str:
        told = {**finding.to_dict(), "clause": clause_of(finding, self.library)}
        return canonical_json(told).decode()
