"""Read the day that an offline judgement is made for."""

from datetime import UTC, date, datetime

import click


def day(text: str | None) -> date:
    """Read a day, or take today's in UTC. Raises: click.BadParameter."""
    try:
        return datetime.now(UTC).date() if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a day: write YYYY-MM-DD.") from error
