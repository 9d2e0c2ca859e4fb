"""Lay a lineage graph out as layers for an SVG picture; pure over plain data."""

from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 220, 54
GAP_X, GAP_Y = 70, 22


@dataclass(frozen=True)
class Box:
    """Place one checkpoint; x and y are the top left corner in SVG units."""

    key: str
    label: str
    note: str
    tone: str
    url: str
    x: int
    y: int


@dataclass(frozen=True)
class Arrow:
    """Draw one edge from parent to child, with the relation as its label."""

    path: str
    label: str
    label_x: int
    label_y: int


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


@dataclass(frozen=True)
class Node:
    key: str
    label: str
    note: str = ""
    tone: str = "plain"
    url: str = ""


def depths(nodes: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """Return each node's longest distance from a root; a cycle's nodes stay at a finite depth.

    `edges` are (parent, child). Runs at most len(nodes) rounds.
    """
    depth = dict.fromkeys(nodes, 0)
    for _ in nodes:
        moved = False
        for parent, child in edges:
            if depth[child] < depth[parent] + 1 <= len(nodes):
                depth[child] = depth[parent] + 1
                moved = True
        if not moved:
            break
    return depth


def draw(nodes: list[Node], edges: list[tuple[str, str, str]]) -> Picture:
    """Place nodes in columns by depth; `edges` are (parent, child, relation)."""
    depth = depths([node.key for node in nodes], [(parent, child) for parent, child, _ in edges])
    rows: dict[int, int] = {}
    boxes = {}
    for node in sorted(nodes, key=lambda one: (depth[one.key], one.label)):
        column = depth[node.key]
        row = rows.get(column, 0)
        rows[column] = row + 1
        boxes[node.key] = Box(
            node.key,
            node.label,
            node.note,
            node.tone,
            node.url,
            column * (BOX_WIDTH + GAP_X) + 2,
            row * (BOX_HEIGHT + GAP_Y) + 2,
        )
    arrows = [_arrow(boxes[parent], boxes[child], relation) for parent, child, relation in edges]
    width = (max(depth.values(), default=0) + 1) * (BOX_WIDTH + GAP_X) - GAP_X + 4
    height = max(rows.values(), default=1) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 4
    return Picture(width, height, tuple(boxes.values()), tuple(arrows))


def _arrow(parent: Box, child: Box, relation: str) -> Arrow:
    x1, y1 = parent.x + BOX_WIDTH, parent.y + BOX_HEIGHT // 2
    x2, y2 = child.x, child.y + BOX_HEIGHT // 2
    bend = (x1 + x2) // 2
    path = f"M{x1},{y1} C{bend},{y1} {bend},{y2} {x2 - 4},{y2}"
    return Arrow(path, relation, bend, (y1 + y2) // 2 - 6)
