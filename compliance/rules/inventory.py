"""Hold a whole registry's models compactly: what each declares, and what each was made from.

Models that declare the same share one record, and parents are numbers, so a million models take a
few hundred megabytes. Owns the graph and its order; judges nothing.
"""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Final

from compliance.rules.facts import ModelFacts, ParentLink

UNDESCRIBED: Final = -1
"""The declaration number of a model that others name and nobody described."""


class Inventory:
    """Models by number, in order of first mention; numbers stay what they are.

    Law: `facts(n)` gives back what was added, parents in the order given.
    """

    def __init__(self, models: Iterable[ModelFacts] = ()) -> None:
        self.ids: list[str] = []
        self.numbers: dict[str, int] = {}
        self.declared = array("q")
        self.declarations: list[ModelFacts] = []
        self.parents: list[tuple[tuple[int, str], ...]] = []
        self._declaration_numbers: dict[ModelFacts, int] = {}
        self._links: dict[tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]] = {}
        for model in models:
            self.put(model)

    def __len__(self) -> int:
        return len(self.ids)

    def put(self, model: ModelFacts) -> int:
        """Add a model, or say anew what is known of it; return its number."""
        number = self._number(model.id)
        links = tuple((self._number(link.id), link.relation) for link in model.parents)
        if self.parents[number] != links:
            self._forget_order()
        self.parents[number] = self._links.setdefault(links, links)
        self.declared[number] = self._declaration(replace(model, id="", parents=()))
        return number

    def redeclare(self, model: ModelFacts) -> int:
        """Say anew what a model declares, keeping what it was made from.

        Raises: KeyError for a model that was never added.
        """
        number = self.numbers[model.id]
        self.declared[number] = self._declaration(replace(model, id="", parents=()))
        return number

    def facts(self, number: int) -> ModelFacts:
        """Give a model's facts back."""
        links = tuple(ParentLink(id=self.ids[at], relation=how) for at, how in self.parents[number])
        told = self.declarations[self.declared[number]]
        return replace(told, id=self.ids[number], parents=links)

    def described(self, number: int) -> bool:
        """Say whether anybody described the model."""
        return self.declared[number] != UNDESCRIBED

    def closure(self, starts: Iterable[int]) -> list[int]:
        """List the models and all they were made from, nearest first."""
        return _reach(starts, self.parent_numbers)

    def descendants(self, starts: Iterable[int]) -> list[int]:
        """List the models and all that was made from them, nearest first."""
        children = self.children
        return _reach(starts, lambda number: children.get(number, ()))

    def parent_numbers(self, number: int) -> Iterator[int]:
        return (at for at, _ in self.parents[number])

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """Map each model that has children to them."""
        found: dict[int, list[int]] = {}
        for number, links in enumerate(self.parents):
            for at, _ in links:
                found.setdefault(at, []).append(number)
        return found

    @cached_property
    def ranks(self) -> "array[int]":
        """Give each model its place in an order in which parents come first.

        Models that are their own ancestors, and all made from them, share the last place.
        """
        waiting = array("q", (len({at for at, _ in links}) for links in self.parents))
        ready = deque(number for number, count in enumerate(waiting) if not count)
        ranks = array("q", [0]) * len(self.ids)
        place, children = 0, self.children
        done = bytearray(len(self.ids))
        while ready:
            number = ready.popleft()
            ranks[number], done[number] = place, 1
            place += 1
            for child in dict.fromkeys(children.get(number, ())):
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
        for number, is_done in enumerate(done):
            if not is_done:
                ranks[number] = place
        self._first_in_ring = place
        return ranks

    @property
    def first_in_ring(self) -> int:
        """Give the rank that models in and below rings share; none has it if there is no ring."""
        _ = self.ranks
        return self._first_in_ring

    def _number(self, name: str) -> int:
        number = self.numbers.get(name)
        if number is None:
            number = self.numbers[name] = len(self.ids)
            self.ids.append(name)
            self.declared.append(UNDESCRIBED)
            self.parents.append(())
            self._forget_order()
        return number

    def _declaration(self, told: ModelFacts) -> int:
        number = self._declaration_numbers.get(told)
        if number is None:
            number = self._declaration_numbers[told] = len(self.declarations)
            self.declarations.append(told)
        return number

    def _forget_order(self) -> None:
        self.__dict__.pop("children", None)
        self.__dict__.pop("ranks", None)


def _reach(starts: Iterable[int], step: object) -> list[int]:
    found = list(dict.fromkeys(starts))
    seen = set(found)
    at = 0
    while at < len(found):
        for number in step(found[at]):  # type: ignore[operator]  # a function of one number
            if number not in seen:
                seen.add(number)
                found.append(number)
        at += 1
    return found
