"""Print results: JSON for programs, aligned lines and progress for people."""

import json
import sys
from typing import Any

import click

_GIB = 2**30
_ERASE_LINE = "\r\x1b[K"


def print_json(value: Any) -> None:
    """Print JSON with sorted keys: same value, same bytes."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print label and value in two columns."""
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        click.echo(f"{label:<{width}}  {value}")


def gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:,.3f} GiB ({size_bytes:,} B)"


def show_progress(done: int, total: int, *, doing: str = "hashing") -> None:
    """Rewrite one line on stderr with the share of bytes done; clear it at the end."""
    share = 100 * done // total if total else 100
    text = "" if done >= total else f"{doing} {share:3d} %  {done / _GIB:,.2f} GiB"
    sys.stderr.write(_ERASE_LINE + text)
    sys.stderr.flush()
