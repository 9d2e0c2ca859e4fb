"""The naive judgement as a whole: what is asked, what ended, what binds, what follows."""

from dataclasses import dataclass, field
from datetime import date

from compliance.rules.assessment import DECISION_BY_STATUS, DECISIONS, Assessment
from compliance.rules.catalogue import RESTRICTING_KINDS, Clause, Library, LicenceVersion
from compliance.rules.facts import Facts, Waiver
from tests.compliance.reference import events
from tests.compliance.reference.clauses import READERS, reaches_others
from tests.compliance.reference.world import World, speaking

Asked = tuple[str, str | None, str | None, str]  # rule, licence, section, status
OF_THE_USE = ("user_threshold", "revenue_threshold")
ASKING = ("violated", "needs_review", "unmet")


@dataclass
class Judgement:
    """Hold what is asked (with the models it may be said of), what ended and what binds."""

    decision: str = "allow"
    asked: dict[Asked, set[str]] = field(default_factory=dict)
    askers: dict[Asked, set[str]] = field(default_factory=dict)
    ended: set[events.Ended] = field(default_factory=set)
    binding: set[tuple[str, str]] = field(default_factory=set)
    open_families: set[str] = field(default_factory=set)

    def ask(
        self, rule: str, status: str, model: str, licence: str | None = None, section: str = ""
    ) -> None:
        self.asked.setdefault((rule, licence, section or None, status), set()).add(model)


def reference(facts: Facts, library: Library) -> Judgement:
    """Judge facts the slow way."""
    world = World(facts, library)
    found = Judgement()
    _clauses(world, found)
    _lineage(world, found)
    _identity(world, found)
    _labels(world, found)
    _data(world, found)
    _suits_over_unknown(world, found)
    _conflicts(world, found)
    found.binding = {(licence.key, model) for model, licence, _ in world.bound()}
    found.open_families = world.open_families()
    found.decision = _decide(world, found)
    return found


def _clauses(world: World, found: Judgement) -> None:
    """Judge every clause; where the version is open, keep of each kind what asks the most."""
    either: dict[tuple[str, str, str], dict[str, Judgement]] = {}
    for model, licence, clause in speaking(world):
        mine = found
        if world.terms[model].open:
            rivals = either.setdefault((model, licence.family, clause.kind), {})
            mine = rivals.setdefault(licence.key, Judgement())
        _clause(world, mine, model, licence, clause)
    for rivals in either.values():
        worst = max(
            rivals.values(), key=lambda one: (_gravity(one), len(one.ended), len(one.asked))
        )
        for key, models in worst.asked.items():
            found.asked.setdefault(key, set()).update(models)
            found.askers.setdefault(key, set()).update(worst.askers.get(key, ()))
        found.ended |= worst.ended


def _gravity(one: Judgement) -> int:
    return max((3 - ASKING.index(status) for _, _, _, status in one.asked), default=0)


def _clause(
    world: World, found: Judgement, model: str, licence: LicenceVersion, clause: Clause
) -> None:
    if clause.kind in ("guardrail", "litigation"):
        read = events.guardrail if clause.kind == "guardrail" else events.litigation
        owner = world.library.licences[clause.licence]
        ruling = read(world, model, owner, clause)
        for status in ruling.asked:
            found.ask(clause.kind, status, model, clause.licence, clause.section)
            key = (clause.kind, clause.licence, clause.section, status)
            found.askers.setdefault(key, set()).add(model)
        found.ended |= ruling.ended
        return
    reader = READERS.get(clause.kind)
    read_as = reader(world, model, licence, clause) if reader else "fine"
    statuses = {read_as} if isinstance(read_as, str) else read_as
    # What hangs on the use alone may be told through any model under the licence.
    tellers = {name for name, one, _ in world.bound() if one.family == licence.family}
    for status in statuses - {"fine"}:
        for name in tellers:
            found.ask(clause.kind, status, name, clause.licence, clause.section)
        key = (clause.kind, clause.licence, clause.section, status)
        found.askers.setdefault(key, set()).add(model)
    if "violated" in statuses and clause.params.get("effect") == "end":
        found.ended.add((licence.key, model, "all", clause.kind, None))


def _lineage(world: World, found: Judgement) -> None:
    if not world.facts.use.purposes:
        found.ask("use_unknown", "needs_review", world.facts.subject)
    for name in world.missing():
        for child in world.paths:
            if name in {link.id for link in world.models[child].parents}:
                found.ask("parent_unknown", "needs_review", child)
        found.ask("parent_unknown", "needs_review", name)
    for name in world.paths:
        above = {link.id for link in world.models[name].parents}
        if any(name in world.ancestors(parent) for parent in above):
            found.ask("lineage_cycle", "needs_review", name)


def _identity(world: World, found: Judgement) -> None:
    for model in world.paths:
        for problem in world.terms[model].problems:
            found.ask(problem, "needs_review", model)
    for model, licence, is_open in world.bound():
        terms = world.terms[model]
        families = [one.family for one in terms.licences]
        one_of_several = len(set(families)) < len(families)
        if is_open and (one_of_several or not terms.problems):
            found.ask("version_unresolved", "needs_review", model)
        rivals = [one for one in world.terms[model].licences if one.family == licence.family]
        if not any(one.status == "read" for one in (rivals if is_open else [licence])):
            found.ask("licence_not_read", "needs_review", model, licence.key)


def _labels(world: World, found: Judgement) -> None:
    """Find derivatives whose label drops a restricting licence of what they were made from."""
    restricting: dict[str, list[LicenceVersion]] = {}
    for model, licence, _ in world.bound():
        if licence.restricts:
            restricting.setdefault(model, []).append(licence)
    for child in world.paths:
        labels = world.terms[child]
        if not labels.licences:
            continue
        mine = {one.family for one in labels.licences}
        for link in world.models[child].parents:
            for licence in restricting.get(link.id, ()):
                owners = licence.publishers
                if world.models[child].published_by in owners and (
                    world.models[link.id].published_by in owners
                ):
                    continue
                if licence.family not in mine:
                    found.ask("relabelled", "unmet", child, licence.key)
                    key = ("relabelled", licence.key, None, "unmet")
                    found.askers.setdefault(key, set()).add(child)


def _data(world: World, found: Judgement) -> None:
    for model in world.paths:
        for data in world.models[model].datasets:
            if data.use not in ("training", "distillation"):
                continue
            known = world.library.declared_by_id(data.license or "") if data.license else ()
            if not known:
                found.ask("dataset_licence_unknown", "needs_review", model)
            if world.facts.use.commercial is False:
                continue
            for one in known:
                for clause in one.clauses_of("noncommercial"):
                    rule = "dataset_noncommercial"
                    found.ask(rule, "needs_review", model, one.key, clause.section)


def _suits_over_unknown(world: World, found: Judgement) -> None:
    """Ask where a suit is about an ancestor under terms that nobody knows."""
    bound = {name for name, _, _ in world.bound()}
    # Terms that were replaced settle nothing beside a file that nobody could read.
    nameless = world.missing() | {
        name
        for name in world.paths
        if name not in bound and (world.terms[name].problems or not world.terms[name].licences)
    }
    for matter in world.facts.matters:
        alleged = {*matter.alleges_model_infringes, *matter.alleges_output_infringes}
        if matter.status in ("draft", "threatened"):
            continue
        for name in alleged & nameless:
            found.ask("litigation", "needs_review", name)


def _conflicts(world: World, found: Judgement) -> None:
    """Hold share-alike terms of the whole work against each other and against foreign limits."""
    wanting = [
        (model, licence, clause)
        for model, licence, clause in speaking(world)
        if clause.kind == "share_alike" and clause.params["strength"] != "changed_files"
    ]
    for model, licence, clause in wanting:
        for other_model, other, _ in world.bound():
            if other.family == licence.family or _may_join(licence, clause, other):
                continue
            if world.terms[model].open or world.terms[other_model].open:
                continue
            both = [one for one in wanting if one[1].key == other.key]
            claims = [(licence, clause), *((one, said) for _, one, said in both)]
            if not any(reaches_others(world, one, said) for one, said in claims):
                continue
            if both:
                status = "violated" if world.facts.use.purposes else "needs_review"
            elif clause.params["strength"] != "whole_work":
                continue
            elif limits(other):
                status = "needs_review"
            else:
                continue
            for at in (model, other_model):
                found.ask("licence_conflict", status, at)


def limits(licence: LicenceVersion) -> bool:
    """Say whether a licence restricts by more than a share-alike on files that were changed."""
    return any(
        clause.kind in RESTRICTING_KINDS and clause.kind != "share_alike"
        for clause in licence.clauses
    )


def _may_join(licence: LicenceVersion, clause: Clause, other: LicenceVersion) -> bool:
    """Say whether either text lets the work go out under the other."""
    back = {
        key for one in other.clauses_of("share_alike") for key in one.params.get("also_under", ())
    }
    return other.key in clause.params.get("also_under", ()) or licence.key in back


def _decide(world: World, found: Judgement) -> str:
    worst = "allow"
    ended = {(key, cause) for key, _, _, cause, _ in found.ended}
    for key, models in found.asked.items():
        rule, licence, _, status = key
        if found.askers.get(key):
            # A clause that several models bring is told of the nearest, and waived there.
            models = {min(found.askers[key], key=world.nearness)}
        elif rule == "licence_unknown":
            # Each model's question stands by itself.
            models = {one for one in models if not _waived(world, rule, licence, {one})} or models
        final = status == "violated" or any(
            key == licence and (rule == cause or rule == "litigation") for key, cause in ended
        )
        if not final and _waived(world, rule, licence, models):
            continue
        worst = max(worst, DECISION_BY_STATUS[status], key=DECISIONS.index)
    return worst


def _waivers(world: World) -> list[Waiver]:
    day = world.facts.as_of
    return [one for one in world.facts.waivers if one.expires_on is None or one.expires_on >= day]


def _waived(world: World, rule: str, licence: str | None, models: set[str]) -> bool:
    return any(_covers(world, one, rule, licence, models) for one in _waivers(world))


def _covers(world: World, waiver: Waiver, rule: str, licence: str | None, models: set[str]) -> bool:
    return (
        waiver.rule == rule
        and waiver.licence in ("*", licence)
        and (waiver.model == "*" or waiver.model in models)
    )


def differences(judged: Assessment, mine: Judgement, library: Library) -> list[str]:
    """List where the judgement of the rules departs from this one; empty when they agree.

    Where some version is open, licences of that family are compared by family: which of equally
    strict versions is named proves nothing.
    """

    def name(key: str | None) -> str | None:
        licence = library.get(key or "")
        return licence.family if licence and licence.family in mine.open_families else key

    def place(rule: str, key: str | None, section: str | None, status: str) -> Asked:
        if rule in ("version_unresolved", "licence_conflict"):
            return rule, None, None, status
        known = name(key)
        return rule, known, section if known == key else None, status

    asked: dict[Asked, set[str]] = {}
    for (rule, key, section, status), models in mine.asked.items():
        asked.setdefault(place(rule, key, section, status), set()).update(models)
    theirs: dict[Asked, set[str]] = {}
    for one in judged.findings:
        if one.status in ASKING:
            at = place(one.rule, one.licence, one.section, one.status)
            theirs.setdefault(at, set()).add(one.model)
    found = []
    if judged.decision != mine.decision:
        found = [f"decision: rules {judged.decision}, reference {mine.decision}"]
    found += [f"only the rules ask {at} of {sorted(theirs[at])}" for at in theirs.keys() - asked]
    found += [
        f"only the reference asks {at} of {sorted(asked[at])}" for at in asked.keys() - theirs
    ]
    found += [
        f"{at}: rules say {sorted(theirs[at])}, reference {sorted(asked[at])}"
        for at in theirs.keys() & asked.keys()
        if not theirs[at] <= asked[at]
    ]

    def end(key: str, model: str, scope: str, cause: str, day: date | None) -> tuple[object, ...]:
        # What hangs on the use alone ends through any model under the licence.
        return name(key), "*" if cause in OF_THE_USE else model, scope, cause, day

    ended = {
        end(one.licence, one.model, one.scope, str(one.matter or one.breach), one.effective)
        for one in judged.terminated
    }
    mine_ended = {end(*one) for one in mine.ended}
    binding = {(name(one.licence), one.model) for one in judged.binding_licences}
    mine_binding = {(name(key), model) for key, model in mine.binding}
    found += [f"only the rules end {one}" for one in ended - mine_ended]
    found += [f"only the reference ends {one}" for one in mine_ended - ended]
    found += [f"only the rules bind {one}" for one in binding - mine_binding]
    found += [f"only the reference binds {one}" for one in mine_binding - binding]
    return sorted(found)
