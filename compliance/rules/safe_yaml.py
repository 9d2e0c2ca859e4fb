"""Read YAML from strangers: bounded in size, depth and aliases, without duplicate keys."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from compliance.rules.faults import Fault, InputFaults

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 40
MAX_ALIASES = 64
# Sixty-four aliases can stand for two to the thirty-second of anything.
MAX_EXPANDED = 2 * MAX_BYTES


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"line {line}: key '{key}' is given twice; keep one"
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


@dataclass(slots=True)
class _Weight:
    """Weigh a value with every alias in it written out: in characters, and in levels."""

    anchor: str | None
    size: int = 1
    levels: int = 0


class _Scales:
    """Weigh a document by its events, which never expand an alias."""

    def __init__(self) -> None:
        self.aliases = 0
        self.known: dict[str, _Weight] = {}
        self.open = [_Weight(None)]

    def take(self, event: yaml.Event) -> None:
        """Weigh one event more.

        Raises: ValueError at the first limit passed.
        """
        if isinstance(event, yaml.CollectionStartEvent):
            self.open.append(_Weight(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self.open.pop()
            self._add(_Weight(closed.anchor, closed.size, closed.levels + 1))
        elif isinstance(event, yaml.ScalarEvent):
            self._add(_Weight(event.anchor, 1 + len(event.value)))
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._meant(event))
        self._check()

    def _add(self, part: _Weight) -> None:
        if part.anchor:
            self.known[part.anchor] = part
        whole = self.open[-1]
        whole.size += part.size
        whole.levels = max(whole.levels, part.levels)

    def _meant(self, event: yaml.AliasEvent) -> _Weight:
        self.aliases += 1
        if any(one.anchor == event.anchor for one in self.open):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ValueError(f"line {line}: '*{event.anchor}' stands inside itself")
        found = self.known.get(event.anchor or "", _Weight(None))
        return _Weight(None, found.size, found.levels)

    def _check(self) -> None:
        if self.aliases > MAX_ALIASES:
            raise ValueError(f"more than {MAX_ALIASES} aliases; write the values out")
        if len(self.open) - 1 + self.open[-1].levels > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels; flatten it")


def _check_events(text: str) -> None:
    """Walk the events and stop at the first limit passed."""
    scales = _Scales()
    for event in yaml.parse(text, Loader=_StrictLoader):
        scales.take(event)
    if scales.open[0].size > MAX_EXPANDED:
        raise ValueError(f"more than {MAX_EXPANDED} characters with its aliases written out")


def read_yaml(raw: bytes, *, source: str, code: str, max_bytes: int = MAX_BYTES) -> Any:
    """Parse one YAML document into plain data.

    Raises:
        InputFaults: when it is too large, too deep, uses too many aliases, repeats a key, is not
            UTF-8, or is no YAML.
    """
    try:
        if len(raw) > max_bytes:
            raise ValueError(f"{len(raw)} bytes; at most {max_bytes} are read")
        text = raw.decode("utf-8")
        _check_events(text)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506, TID251 - a SafeLoader subclass
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split())
        raise InputFaults(code, source, [Fault("(document)", message)]) from error
