"""Walk from the subject to everything it was made from.

Owns the closure over parents, the shortest path to each ancestor, and what was gathered on the
way. Iterative throughout: a lineage can be longer than the call stack. Knows no clause.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from compliance.rules.facts import Facts, ModelFacts, ParentLink

PATH_SHOWN = 24
"""Longest path written out in full; a longer one keeps both ends and counts the middle."""
_PATH_HEAD = PATH_SHOWN // 2
_PATH_TAIL = PATH_SHOWN - _PATH_HEAD


@dataclass(frozen=True)
class Lineage:
    """Hold the subject's ancestry.

    `order` lists the known models of the closure, nearest first; `toward_subject[m]` is the child
    through which the shortest path reaches m; `relation_to_child[m]` says how that child came.
    `missing` maps an ancestor nobody described to the models that name it. `cycle` is one ring of
    models that name each other as ancestors, or empty.
    """

    subject: str
    models: Mapping[str, ModelFacts]
    order: tuple[str, ...]
    toward_subject: Mapping[str, str]
    relation_to_child: Mapping[str, str]
    missing: Mapping[str, tuple[str, ...]]
    cycle: tuple[str, ...]

    def path(self, model_id: str) -> tuple[str, ...]:
        """List the models from the subject to this one, both included, shortened in the middle."""
        length, head = self._heads[model_id]
        if length <= PATH_SHOWN:
            return self._tail(model_id, length)
        left_out = length - len(head) - _PATH_TAIL
        return (*head, f"... {left_out} more ...", *self._tail(model_id, _PATH_TAIL))

    def _tail(self, model_id: str, count: int) -> tuple[str, ...]:
        steps = [model_id]
        while len(steps) < count:
            steps.append(self.toward_subject[steps[-1]])
        return tuple(reversed(steps))

    @cached_property
    def _heads(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Map each model to its path's length and beginning, shared so that depth costs little."""
        found: dict[str, tuple[int, tuple[str, ...]]] = {}
        for name in self.order:
            length, head = found.get(self.toward_subject.get(name, ""), (0, ()))
            found[name] = (length + 1, (*head, name) if len(head) < _PATH_HEAD else head)
        return found

    def parents(self, model_id: str) -> tuple[ParentLink, ...]:
        """List the described parents of a model, by id."""
        links = sorted(self.models[model_id].parents, key=lambda link: (link.id, link.relation))
        return tuple(link for link in links if link.id in self.models)

    @cached_property
    def steps_down(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Map each model to (child, relation) of every step from it towards the subject."""
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in self.order}
        for name in self.order:
            for link in self.parents(name):
                found[link.id].append((name, link.relation))
        return {name: tuple(sorted(set(items))) for name, items in found.items()}

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """Map each model of the closure to those of its children that lie in the closure."""
        found: dict[str, list[str]] = {name: [] for name in self.order}
        for name in self.order:
            for link in self.parents(name):
                found[link.id].append(name)
        return {name: tuple(sorted(set(items))) for name, items in found.items()}


def trace(facts: Facts) -> Lineage:
    """Compute the closure of the subject over its parents, breadth first.

    Laws: ends for any graph, cyclic or not; the order of models and parents changes nothing.
    """
    models = {model.id: model for model in facts.models}
    order: list[str] = []
    toward: dict[str, str] = {}
    relation: dict[str, str] = {}
    missing: dict[str, set[str]] = {}
    waiting = deque([facts.subject] if facts.subject in models else [])
    seen = set(waiting)
    while waiting:
        name = waiting.popleft()
        order.append(name)
        for link in sorted(models[name].parents, key=lambda item: (item.id, item.relation)):
            if link.id not in models:
                missing.setdefault(link.id, set()).add(name)
            elif link.id not in seen:
                seen.add(link.id)
                toward[link.id] = name
                relation[link.id] = link.relation
                waiting.append(link.id)
    return Lineage(
        subject=facts.subject,
        models=models,
        order=tuple(order),
        toward_subject=toward,
        relation_to_child=relation,
        missing={key: tuple(sorted(value)) for key, value in sorted(missing.items())},
        cycle=find_cycle(models, order),
    )


def find_cycle(models: Mapping[str, ModelFacts], order: Iterable[str]) -> tuple[str, ...]:
    """Find one ring of parents among these models, first and last the same; empty if none."""
    done: set[str] = set()
    for start in sorted(order):
        trail: list[str] = []
        on_trail: set[str] = set()
        stack: list[tuple[str, Iterator[str]]] = []
        _enter(start, models, trail, on_trail, stack, done)
        while stack:
            name, parents = stack[-1]
            parent = next(parents, None)
            if parent is None:
                stack.pop()
                trail.pop()
                on_trail.discard(name)
                done.add(name)
            elif parent in on_trail:
                return (*trail[trail.index(parent) :], parent)
            else:
                _enter(parent, models, trail, on_trail, stack, done)
    return ()


def _enter(
    name: str,
    models: Mapping[str, ModelFacts],
    trail: list[str],
    on_trail: set[str],
    stack: list[tuple[str, Iterator[str]]],
    done: set[str],
) -> None:
    if name in done or name not in models:
        return
    trail.append(name)
    on_trail.add(name)
    stack.append((name, iter(sorted({link.id for link in models[name].parents}))))


def ancestors(models: Mapping[str, ModelFacts], start: str) -> frozenset[str]:
    """List every ancestor of a model, itself included, described or not."""
    seen = {start}
    waiting = [start]
    while waiting:
        model = models.get(waiting.pop())
        for link in model.parents if model is not None else ():
            if link.id not in seen:
                seen.add(link.id)
                waiting.append(link.id)
    return frozenset(seen)
