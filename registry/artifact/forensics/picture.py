"""Draw a comparison as an SVG: layers by kinds of matrix, darker where more changed.

A red frame marks a matrix touched by a projection of the residual stream; the numbers are in a
tooltip. Same comparison, same bytes; no library, no script, no font or image from elsewhere.
"""

import math
from collections.abc import Iterator
from html import escape
from typing import Any, Final

_CELL_WIDE: Final = 56
_CELL_HIGH: Final = 16
_LEFT: Final = 70
_TOP: Final = 96
_LEGEND: Final = 46
_MAX_ROWS: Final = 400
# Relative change that is drawn lightest and darkest, on a logarithmic scale.
_FAINT: Final = 1e-4
_FULL: Final = 0.3
_TOUCHED: Final = 0.5
_LIGHT: Final = (235, 240, 248)
_DARK: Final = (24, 60, 124)


def draw(plain: dict[str, Any]) -> str:
    """Draw the plain form of a comparison; at most 400 rows are shown."""
    heat = plain["heat"]
    kinds, layers = heat["kinds"], heat["layers"][:_MAX_ROWS]
    width = max(_LEFT + _CELL_WIDE * len(kinds) + 20, 420)
    height = _TOP + _CELL_HIGH * len(layers) + _LEGEND
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="sans-serif" font-size="10">',
        f"<title>{_text(plain['classification'])}</title>",
        f"<desc>{_text(plain['explains'])}</desc>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="18" font-size="14" font-weight="bold">'
        f"{_text(plain['classification'].replace('_', ' '))}"
        f" ({plain['confidence']:.2f})</text>",
        *_headings(kinds),
        *_cells(heat, layers, kinds),
        *_legend(height - _LEGEND + 16),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _headings(kinds: list[str]) -> Iterator[str]:
    for column, kind in enumerate(kinds):
        x, y = _LEFT + column * _CELL_WIDE + 12, _TOP - 6
        yield f'<text x="{x}" y="{y}" transform="rotate(-35 {x} {y})">{_text(kind[:24])}</text>'


def _cells(heat: dict[str, Any], layers: list[int | None], kinds: list[str]) -> Iterator[str]:
    for row, layer in enumerate(layers):
        y = _TOP + row * _CELL_HIGH
        label = "outside" if layer is None else f"layer {layer}"
        yield f'<text x="{_LEFT - 6}" y="{y + 11}" text-anchor="end">{label}</text>'
        for column, kind in enumerate(kinds):
            change, projection = heat["change"][row][column], heat["projection"][row][column]
            if change is None:
                continue
            x = _LEFT + column * _CELL_WIDE
            frame = ' stroke="#c22020" stroke-width="2"' if projection >= _TOUCHED else ""
            said = f"{label}, {kind[:60]}: change {change:.3g}"
            if projection >= _TOUCHED:
                said += f", projection {projection:.2f}"
            yield (
                f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL_WIDE - 2}" '
                f'height="{_CELL_HIGH - 2}" fill="{_colour(change)}"{frame}>'
                f"<title>{_text(said)}</title></rect>"
            )


def _legend(y: int) -> Iterator[str]:
    x = 10
    for change, label in ((0.0, "equal"), (1e-3, "0.1 %"), (1e-2, "1 %"), (1e-1, "10 %")):
        yield f'<rect x="{x}" y="{y}" width="14" height="12" fill="{_colour(change)}"/>'
        yield f'<text x="{x + 18}" y="{y + 10}">{label}</text>'
        x += 64
    yield (
        f'<rect x="{x}" y="{y}" width="14" height="12" fill="none" stroke="#c22020" '
        f'stroke-width="2"/><text x="{x + 18}" y="{y + 10}">projection of the stream</text>'
    )


def _colour(change: float) -> str:
    """Map a relative change to a colour; what is equal is white with a hint of grey."""
    if change <= 0:
        return "#fafafa"
    span = math.log(_FULL / _FAINT)
    part = min(1.0, max(0.0, math.log(max(change, 1e-12) / _FAINT) / span))
    mixed = [round(a + (b - a) * part) for a, b in zip(_LIGHT, _DARK, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _text(value: object) -> str:
    """Escape text, without the control characters that XML cannot hold."""
    return escape("".join(one for one in str(value) if one.isprintable()))
