"""What is known about one subject: its ancestry by brute force, and the licences each carries."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from compliance.rules.catalogue import Clause, Library, LicenceVersion
from compliance.rules.facts import EvidenceFact, Facts, ModelFacts

# Cards write these where the licence stands elsewhere; they name nothing.
NOT_A_NAME = frozenset({"", "other", "unknown"})
Path = tuple[str, ...]


@dataclass
class Terms:
    """Hold the licences a model carries by itself; with `open` only one of them does."""

    licences: tuple[LicenceVersion, ...] = ()
    open: bool = False
    problems: tuple[str, ...] = ()
    stated: bool = True


@dataclass
class World:
    """Hold the facts with every simple path from the subject to every described ancestor."""

    facts: Facts
    library: Library
    models: dict[str, ModelFacts] = field(default_factory=dict)
    paths: dict[str, list[Path]] = field(default_factory=dict)
    terms: dict[str, Terms] = field(default_factory=dict)
    above: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.models = {one.id: one for one in self.facts.models}
        self.terms = {key: read_terms(one, self.library) for key, one in self.models.items()}
        for path in self._walk((self.facts.subject,)):
            self.paths.setdefault(path[-1], []).append(path)

    def _walk(self, path: Path) -> Iterator[Path]:
        yield path
        for link in self.models[path[-1]].parents:
            if link.id in self.models and link.id not in path:
                yield from self._walk((*path, link.id))

    @property
    def subject(self) -> ModelFacts:
        return self.models[self.facts.subject]

    def between(self, model: str) -> set[str]:
        """List every model on a way from the subject to this one, this one left out.

        In a ring a way may pass any model of it.
        """
        return {step for step in self.paths if model in self.ancestors(step)} - {model}

    def ancestors(self, model: str) -> set[str]:
        """List a model and everything it was made from, described or not."""
        if model not in self.above:
            found = {model}
            self._gather(model, found)
            self.above[model] = found
        return self.above[model]

    def _gather(self, model: str, found: set[str]) -> None:
        for link in self.models[model].parents if model in self.models else ():
            if link.id not in found:
                found.add(link.id)
                self._gather(link.id, found)

    def nearness(self, model: str) -> tuple[int, Path]:
        """Order models by the shortest way from the subject, then by the names on it."""
        return min((len(path), path) for path in self.paths[model])

    def missing(self) -> set[str]:
        return {
            link.id
            for name in self.paths
            for link in self.models[name].parents
            if link.id not in self.models
        }

    def carries(self, model: str, key: str) -> bool:
        return any(one.key == key for one in self.terms[model].licences)

    def made_from(self, key: str) -> bool:
        """Say whether the subject was made from another model under a licence that still binds."""
        return any(
            name != self.facts.subject and licence.key == key for name, licence, _ in self.bound()
        )

    def released(self, model: str, licence: LicenceVersion) -> bool:
        """Say whether the licensor published something newer of it on every way down."""
        if model == self.facts.subject:
            return False
        if self.models[model].published_by not in licence.publishers:
            return False
        return any(
            all(self._published(path[:-1], name) for path in self.paths[model])
            for name in licence.publishers
        )

    def _published(self, path: Path, name: str) -> bool:
        return any(
            self.models[step].published_by == name
            and self.terms[step].licences
            and not self.terms[step].open
            for step in path
        )

    def bound(self) -> Iterator[tuple[str, LicenceVersion, bool]]:
        """List (model, licence, is it open which) of all that still binds through a model."""
        for model in self.paths:
            for licence in self.terms[model].licences:
                if not self.released(model, licence):
                    yield model, licence, self.terms[model].open

    # -- the use ---------------------------------------------------------------------------

    def copies_go_out(self) -> bool:
        return not self.facts.use.purposes or "redistribution" in self.facts.use.purposes

    def others_get_it(self) -> bool:
        return self.copies_go_out() or "hosted_service" in self.facts.use.purposes

    def goes_out(self, licence: LicenceVersion) -> bool:
        """Say whether it is distributed in the sense of one licence; some count hosting."""
        if "hosted_service" in self.facts.use.purposes and licence.clauses_of("hosting_counts"):
            return True
        return self.copies_go_out()

    def evidence(self, kind: str) -> list[EvidenceFact]:
        return [one for one in self.subject.evidence if one.kind == kind]

    def results(self, kind: str) -> set[str]:
        return {one.result for one in self.evidence(kind)}

    def open_families(self) -> set[str]:
        """List families of which some model may carry one version or another."""
        return {
            paper.family
            for model in self.paths
            if self.terms[model].open
            for licence in self.terms[model].licences
            for paper in with_papers(licence, self.library)
        }

    def leave(self) -> bool:
        """Say whether the licensor gave leave; any other word beside it leaves that open."""
        return self.results("licensor_permission") == {"granted"}

    def steps(self) -> Iterator[tuple[str, str, str]]:
        """List (child, parent, relation) of every described step of the lineage."""
        for child in self.paths:
            for link in self.models[child].parents:
                if link.id in self.models:
                    yield child, link.id, link.relation


def read_terms(model: ModelFacts, library: Library) -> Terms:
    """Read a pin, else the fields of the card; a text nobody can read leaves a question."""
    if model.license_pin is not None:
        pinned = library.get(model.license_pin)
        if pinned is None:
            return Terms(problems=("licence_unknown",))
        return Terms((pinned,))
    declared = _declared(model, library)
    if not model.licence_texts:
        return declared
    (text,) = model.licence_texts
    if text.text is None:
        problem = "text_unreadable"
    else:
        problem = "text_unknown" if text.text.strip() else "text_empty"
    # A file that nobody can read is asked about before fields that contradict each other.
    dropped = ("declarations_disagree", "licence_missing")
    kept = tuple(one for one in declared.problems if one not in dropped)
    return Terms(declared.licences, declared.open, (*kept, problem))


def _declared(model: ModelFacts, library: Library) -> Terms:
    said: list[set[str]] = []
    papers = {key for key, one in library.licences.items() if one.role in ("policy", "addendum")}
    if (model.license or "").casefold() not in NOT_A_NAME:
        said.append({one.key for one in library.declared_by_id(model.license or "")})
    if (model.license_name or "").casefold() not in NOT_A_NAME:
        said.append({one.key for one in library.declared_by_name(model.license_name or "")})
    shown = {one.key for one in library.declared_by_link(model.license_link or "-")} - papers
    if shown:
        said.append(shown)
    if not said:
        unknown = model.license is not None or model.license_name is not None
        problem = "licence_unknown" if unknown else "licence_missing"
        return Terms(problems=(problem,), stated=unknown)
    common, every = set.intersection(*said), set.union(*said)
    wrong = any(library.licences[key].role == "dataset_licence" for key in every)
    problems = ("licence_for_data",) if wrong else ()
    if common:
        return Terms(_licences(common, library), len(common) > 1, problems)
    problem = "declarations_disagree" if every else "licence_unknown"
    open_ = len(every) > 1
    return Terms(_licences(every, library), open_, (*problems, problem))


def _licences(keys: set[str], library: Library) -> tuple[LicenceVersion, ...]:
    return tuple(library.licences[key] for key in sorted(keys))


# -- which clauses speak -------------------------------------------------------------------


def with_papers(licence: LicenceVersion, library: Library) -> list[LicenceVersion]:
    """Add the policies that a licence makes part of itself."""
    return [licence, *(library.licences[key] for key in licence.incorporates)]


def speaking(world: World) -> Iterator[tuple[str, LicenceVersion, Clause]]:
    """List (model, licence, clause) of every clause of every licence that binds or may bind."""
    for model, licence, _ in world.bound():
        for paper in with_papers(licence, world.library):
            for clause in paper.clauses:
                yield model, licence, clause
