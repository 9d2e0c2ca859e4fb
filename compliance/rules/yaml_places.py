"""Find the line of a fault in the YAML that a person wrote."""

import re

import yaml

_LINE = re.compile(r"line (\d+)")
_STEP = re.compile(r"[^.\[\]]+|\[\d+\]")


def line_of(text: str, place: str, message: str = "") -> int | None:
    """Give the line (from 1) of a place such as `clauses[2].params.limit`.

    The nearest line above stands for what is missing. A fault of the whole document takes the line
    that its message names. None when nothing says where it is.
    """
    if named := _LINE.findall(message):
        # The parser names where it was, then where it stumbled.
        return int(named[-1])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    line = None if node is None else 1
    for step in _STEP.findall(place):
        found = _step(node, step)
        if found is None:
            break
        node, line = found
    return line


def _step(node: yaml.Node | None, step: str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and step.startswith("["):
        at = int(step[1:-1])
        if at < len(node.value):
            item: yaml.Node = node.value[at]
            return item, item.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value, key.start_mark.line + 1
    return None
