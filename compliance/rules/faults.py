"""Collect every fault of one input with its place, and raise them together."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Say where an input is wrong and what to do; `place` reads like `models[0].license`."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class InputFaults(ValueError):  # noqa: N818 - it is a list of faults, and is named for it
    """Refuse an input, listing all its faults.

    `code` is stable; `faults` keeps the order of the input.
    """

    def __init__(self, code: str, source: str, faults: list[Fault]) -> None:
        self.code = code
        self.source = source
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{source}: {len(faults)} fault(s)\n{lines}")


@dataclass(slots=True)
class FaultList:
    """Gather faults while reading on."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, place: str, message: str) -> None:
        """Note one fault."""
        self.faults.append(Fault(place, message))

    def raise_if_any(self, code: str, source: str) -> None:
        """Stop when anything was noted.

        Raises:
            InputFaults: with every fault noted so far.
        """
        if self.faults:
            raise InputFaults(code, source, self.faults)
