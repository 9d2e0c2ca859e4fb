"""Read YAML from strangers: bounded in size, depth and aliases, without duplicate keys."""

from collections.abc import Hashable
from typing import Any

import yaml

from compliance.rules.faults import Fault, InputFaults

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 40
MAX_ALIASES = 64


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


def _check_events(text: str) -> None:
    """Walk the events, which never expands an alias, and stop at the first limit passed."""
    aliases = depth = 0
    for event in yaml.parse(text, Loader=_StrictLoader):
        if isinstance(event, yaml.AliasEvent):
            aliases += 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if aliases > MAX_ALIASES:
            raise ValueError(f"more than {MAX_ALIASES} aliases; write the values out")
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels; flatten it")


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
