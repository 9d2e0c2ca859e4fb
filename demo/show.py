"""Print the demo: numbered steps, facts, tables, and a mark for each thing that held."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

console = Console(highlight=False, width=None)


class StepFailedError(Exception):
    """Say which step did not hold."""


def step(number: int, title: str) -> None:
    console.print(f"\n[bold cyan]{number:>2}  {title}[/]")


def fact(text: str) -> None:
    console.print(f"    {text}")


def held(text: str) -> None:
    console.print(f"    [green]✓[/] {text}")


def must(condition: bool, text: str) -> None:
    """Print what held, or stop the demo."""
    if not condition:
        console.print(f"    [red]✗ {text}[/]")
        raise StepFailedError(text)
    held(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    console.print(Padding(grid, (0, 0, 0, 4)))
