"""Read the YAML front matter of a model card as data from a stranger.

Only plain YAML: no tags, no aliases (a few lines of them can stand for gigabytes), no repeated
keys, bounded in bytes, nodes and depth.
"""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from registry.errors import BadInput

MAX_FRONT_MATTER_BYTES: Final = 256 << 10
MAX_NODES: Final = 20_000
MAX_DEPTH: Final = 16
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def front_matter(card: str, *, place: str = "README.md") -> dict[str, Any]:
    """Return the front matter of a card, or {} where it has none.

    Raises: BadInput (code card_invalid).
    """
    text = _between_rules(card.replace("\r\n", "\n"), place)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_FRONT_MATTER_BYTES:
        raise _invalid(place, f"has front matter larger than {MAX_FRONT_MATTER_BYTES} bytes.")
    try:
        _check_events(text, place)
        _check_keys(yaml.compose(text, Loader=_Loader), place)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506, TID251 - the safe loader, in C
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it cannot be read"
        raise _invalid(place, f"has front matter that is not plain YAML: {reason}.") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _invalid(place, "has front matter that is not a map with text keys.")
    return value


def _between_rules(card: str, place: str) -> str:
    lines = card.lstrip("\ufeff").split("\n")
    if lines[0].rstrip() != "---":
        return ""
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return "\n".join(lines[1:number])
    raise _invalid(place, "opens its front matter with '---' but never closes it.")


def _check_events(text: str, place: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.AliasEvent):
            raise _invalid(place, "uses YAML aliases, which can hide a huge document.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise _invalid(place, "has front matter that is too deep or too long.")


def _check_keys(root: yaml.Node | None, place: str) -> None:
    for mapping in _mappings(root):
        keys = [key.value for key, _ in mapping.value if isinstance(key, yaml.ScalarNode)]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise _invalid(place, f"gives {', '.join(map(repr, repeated))} more than once.")


def _mappings(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    pending = [root] if root is not None else []
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            yield node
            pending.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)


def _invalid(place: str, message: str) -> BadInput:
    return BadInput(
        f"{place} {message}", code="card_invalid", place=place, remedy="Correct the model card."
    )
