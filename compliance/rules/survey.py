"""Judge every model of an inventory by judging each sort of model once.

Two models are of one sort when they declare the same and were made in the same way from models of
the same sorts. What `evaluate` decides does not depend on what models are called, except where a
licence speaks of names; those names are part of the sort. So one judgement serves a whole sort,
and a change costs what it touches: the sorts of the changed models and of what was made from them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from compliance.rules.assessment import Assessment, Decision
from compliance.rules.binding import alleged_ancestors
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import Facts, Matter, Use
from compliance.rules.inventory import Inventory

EXACT_DEPTH = 64
"""Down to this depth a sort says in which order models were made from one another. Deeper, it
says which steps occur somewhere above, since a chain of 100,000 would be as many sorts."""

Mapper = Callable[[Callable[[Facts], "Outcome"], Iterable[Facts]], Iterable["Outcome"]]


@dataclass(frozen=True, slots=True)
class Told:
    """Say what was found without naming models: rule, licence, section, status, severity."""

    rule: str
    licence: str | None
    section: str | None
    status: str
    severity: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what one sort of model comes to. `binding` are the licence keys that bind it."""

    decision: Decision
    findings: tuple[Told, ...]
    binding: tuple[str, ...]
    ended: tuple[str, ...]


def outcome_of(judged: Assessment) -> Outcome:
    """Reduce an assessment to what does not depend on names."""
    told = {
        Told(one.rule, one.licence, one.section, one.status, one.severity)
        for one in judged.findings
    }
    return Outcome(
        judged.decision,
        tuple(sorted(told, key=_order)),
        tuple(sorted({one.licence for one in judged.binding_licences})),
        tuple(sorted({one.licence for one in judged.terminated})),
    )


def _order(told: Told) -> tuple[str, ...]:
    return (told.rule, told.licence or "", told.section or "", told.status, told.severity)


class Survey:
    """Judge an inventory for one use, one set of matters and one day.

    `mapper(evaluate, facts)` runs the judgements; give a process pool's to use more cores.
    Law: `outcome(n)` equals `outcome_of(evaluate(...))` over the closure of model n.
    """

    def __init__(
        self,
        inventory: Inventory,
        library: Library,
        *,
        use: Use,
        as_of: date,
        matters: tuple[Matter, ...] = (),
        mapper: Mapper = map,
    ) -> None:
        self.inventory = inventory
        self.library = library
        self.use = use
        self.as_of = as_of
        self.matters = matters
        self._mapper = mapper
        self._names = _Names(library)
        self._alleged = _find_alleged(inventory, matters, as_of)
        self._numbers: dict[Any, int] = {}
        self._own: list[int] = []
        self._sort: list[int] = []
        self._depth: list[int] = []
        self._steps: dict[int, frozenset[Any]] = {}
        self._shared: dict[frozenset[Any], frozenset[Any]] = {}
        self._key: list[Any] = []
        self._judged: dict[Any, Outcome] = {}

    def run(self) -> None:
        """Judge every described model."""
        self._grow()
        self._judge(range(len(self.inventory)))

    def touch(self, numbers: Iterable[int]) -> list[int]:
        """Judge models that changed, and all made from them, anew; return all of those."""
        self._grow()
        touched = self.inventory.descendants(numbers)
        self._judge(touched)
        return touched

    def outcome(self, number: int) -> Outcome:
        """Give what a described model comes to.

        Raises: KeyError for a model that nobody described or that was not judged yet.
        """
        return self._judged[self._key[number]]

    def facts(self, number: int) -> Facts:
        """Gather what one judgement of the model looks at."""
        inventory = self.inventory
        alleged = [inventory.numbers[name] for name in _named(self.matters, inventory)]
        closure = inventory.closure([number, *alleged])
        models = tuple(inventory.facts(at) for at in closure if inventory.described(at))
        return Facts(
            models=models,
            subject=inventory.ids[number],
            as_of=self.as_of,
            use=self.use,
            matters=self.matters,
        )

    @property
    def sorts_judged(self) -> int:
        """Count the judgements made so far."""
        return len(self._judged)

    def _judge(self, numbers: Iterable[int]) -> None:
        fresh: dict[Any, int] = {}
        inventory, names = self.inventory, self._names
        # Parents first: a sort is made from the sorts of the parents.
        for number in sorted(numbers, key=inventory.ranks.__getitem__):
            self._own[number] = self._number(self._what_it_is(number))
            self._sort[number] = self._number(self._sort_of(number))
            if inventory.described(number):
                key = (self._sort[number], names.of_subject(inventory.ids[number]))
                self._key[number] = key
                if key not in self._judged:
                    fresh.setdefault(key, number)
        facts = (self.facts(number) for number in fresh.values())
        judged = self._mapper(_Judge(self.library), facts)
        self._judged.update(zip(fresh, judged, strict=True))

    def _what_it_is(self, number: int) -> Any:
        """Say what a model is by itself, as far as a judgement sees it."""
        inventory = self.inventory
        name, told = inventory.ids[number], inventory.declared[number]
        stated = inventory.declarations[told].publisher if told >= 0 else ""
        publisher = name.partition("/")[0] if stated is None else stated
        return ("own", told, self._names.of_carrier(name, publisher), self._alleged.get(name))

    def _sort_of(self, number: int) -> Any:
        inventory, own = self.inventory, self._own[number]
        links = inventory.parents[number]
        if inventory.ranks[number] == inventory.first_in_ring:
            # In and below rings every model is a sort of its own: rings are mistakes, and few.
            return ("ring", number, own, links)
        if not links:
            self._depth[number] = 0
            return ("first", own)
        self._depth[number] = depth = 1 + max(self._depth[at] for at, _ in links)
        if depth <= EXACT_DEPTH:
            return ("made", own, frozenset((how, self._sort[at]) for at, how in links))
        self._steps[number] = steps = self._steps_above(number)
        return ("deep", own, frozenset((how, self._own[at]) for at, how in links), steps)

    def _steps_above(self, number: int) -> frozenset[Any]:
        """Collect the (child, relation, parent) steps of an ancestry, models by what they are."""
        inventory, own = self.inventory, self._own
        links = inventory.parents[number]
        steps = {(own[number], how, own[at]) for at, how in links}
        flat = []
        for at, _ in links:
            known = self._steps.get(at) if self._depth[at] > EXACT_DEPTH else None
            if known is None:
                flat.append(at)
            else:
                steps |= known
        for child in inventory.closure(flat):
            steps.update((own[child], how, own[at]) for at, how in inventory.parents[child])
        # One object for equal sets: a long chain would otherwise keep thousands of them.
        return self._shared.setdefault(frozenset(steps), frozenset(steps))

    def _number(self, key: Any) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _grow(self) -> None:
        more = len(self.inventory) - len(self._sort)
        for column in (self._own, self._sort, self._depth):
            column += [0] * more
        self._key += [None] * more


def _find_alleged(
    inventory: Inventory, matters: tuple[Matter, ...], as_of: date
) -> dict[str, frozenset[str]]:
    """Map each model that matters name, or that such a model was made from, to how."""
    named = [inventory.numbers[name] for name in _named(matters, inventory)]
    closure = inventory.closure(named)
    models = tuple(inventory.facts(at) for at in closure if inventory.described(at))
    facts = Facts(models=models, subject="", as_of=as_of, matters=matters)
    found: dict[str, set[str]] = {}
    for matter in matters:
        for name in matter.alleges_model_infringes:
            found.setdefault(name, set()).add(f"model {matter.id}")
        for name in matter.alleges_output_infringes:
            found.setdefault(name, set()).add(f"output {matter.id}")
    for name, above in alleged_ancestors(facts).items():
        for ancestor in above:
            found.setdefault(ancestor, set()).add(f"above {name}")
    return {name: frozenset(how) for name, how in found.items()}


def _named(matters: tuple[Matter, ...], inventory: Inventory) -> list[str]:
    named = {
        name
        for matter in matters
        for name in (*matter.alleges_model_infringes, *matter.alleges_output_infringes)
    }
    return sorted(name for name in named if name in inventory.numbers)


class _Judge:
    """Judge facts against a library; a class, so that a process pool can take it along."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def __call__(self, facts: Facts) -> Outcome:
        return outcome_of(evaluate(facts, self._library))


class _Names:
    """Reduce names to what the licences of a library see in them."""

    def __init__(self, library: Library) -> None:
        clauses = [one for licence in library.licences.values() for one in licence.clauses]
        self._prefixes = sorted(
            {str(one.params["prefix"]) for one in clauses if one.kind == "model_name"}
        )
        self._parts = sorted(
            {
                str(one.params["only_models_named"]).casefold()
                for one in clauses
                if one.kind == "badge" and one.params.get("only_models_named")
            }
        )
        self._licensors = {
            name for licence in library.licences.values() for name in licence.publishers
        }

    def of_subject(self, name: str) -> tuple[str, ...]:
        short = name.rsplit("/", 1)[-1]
        return tuple(one for one in self._prefixes if short.startswith(one))

    def of_carrier(self, name: str, publisher: str) -> tuple[str, ...]:
        folded = name.casefold()
        known = publisher.casefold() if publisher.casefold() in self._licensors else ""
        return (known, *(part for part in self._parts if part in folded))
