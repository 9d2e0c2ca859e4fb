"""Find where in a scenario, or in the licence file beside it, a finding speaks of."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from compliance.rules.assessment import Assessment, Finding
from compliance.rules.facts import Facts
from compliance.rules.yaml_places import line_of

_WORDS = re.compile(r"\w+")
# Enough to be the clause and no other; a whole quote would not survive a reworded ending.
_QUOTED_WORDS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Point at a line, counted from 1, of a file named relative to the repository."""

    path: str
    line: int


@dataclass(frozen=True)
class Judged:
    """Hold a judgement with the file it came from.

    `path` is the scenario's as a relative POSIX path, `source` its text; `facts` None when the
    judgement came from elsewhere, and every place is then the first line of `path`.
    """

    path: str
    assessment: Assessment
    facts: Facts | None = None
    source: str = ""
    _lines: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    def place_of(self, finding: Finding) -> Place:
        """Point at the clause in the model's own licence file, else at the scenario's line."""
        return self._in_licence(finding) or Place(self.path, self._line(self._spot(finding)))

    def _in_licence(self, finding: Finding) -> Place | None:
        model = None if self.facts is None else self.facts.model(finding.model)
        words = _WORDS.findall(finding.quote or "")[:_QUOTED_WORDS]
        if model is None or not words:
            return None
        wanted = re.compile(r"\W+".join(map(re.escape, words)))
        for text in model.licence_texts:
            found = wanted.search(text.text or "")
            if found:
                line = (text.text or "").count("\n", 0, found.start()) + 1
                return Place((PurePosixPath(self.path).parent / text.path).as_posix(), line)
        return None

    def _spot(self, finding: Finding) -> str:
        for item in finding.evidence:
            if item.kind == "matter" and item.reference in self._matters:
                return f"matters[{self._matters[item.reference]}]"
        return self._models.get(finding.model, "models")

    @cached_property
    def _matters(self) -> dict[str, int]:
        held = () if self.facts is None else self.facts.matters
        return {one.id: at for at, one in enumerate(held)}

    @cached_property
    def _models(self) -> dict[str, str]:
        """Map a model to where it is described, or else to where it is first named as a parent."""
        found: dict[str, str] = {}
        models = () if self.facts is None else self.facts.models
        for at, model in enumerate(models):
            for nth, link in enumerate(model.parents):
                found.setdefault(link.id, f"models[{at}].parents[{nth}]")
        return {**found, **{model.id: f"models[{at}]" for at, model in enumerate(models)}}

    def _line(self, spot: str) -> int:
        if spot not in self._lines:
            self._lines[spot] = line_of(self.source, spot) or 1
        return self._lines[spot]
