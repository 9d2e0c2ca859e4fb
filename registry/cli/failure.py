"""Say why an online command could not be done: on stderr, never as a traceback.

Exit codes: 2 for what the caller can mend (bad input, any 4xx), 1 for the rest.
"""

import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

import click

BAD_INPUT_EXIT = 2
FAILED_EXIT = 1
HTTP_SERVER_ERROR = 500
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CLAUSE = ("licence_title", "licence", "version", "section", "model", "effective", "matter")


class CommandFailed(click.ClickException):
    """Carry lines for people: what failed, then each thing wrong."""

    exit_code = FAILED_EXIT

    def __init__(self, *lines: str) -> None:
        super().__init__(lines[0])
        self.lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        """Write one line for what failed and one for each thing wrong, on stderr."""
        click.echo(f"lictor: {plain(self.lines[0])}", err=True)
        for line in self.lines[1:]:
            click.echo(f"  {plain(line)}", err=True)


class BadRequest(CommandFailed):
    """Carry what the caller can mend."""

    exit_code = BAD_INPUT_EXIT


def problem_of(status: int, body: Mapping[str, Any]) -> CommandFailed:
    """Make the failure of a problem (RFC 9457) that a server answered.

    Redirects count as the caller's to mend: the address is.
    """
    lines = tuple(_said(status, body))
    return CommandFailed(*lines) if status >= HTTP_SERVER_ERROR else BadRequest(*lines)


def plain(text: str) -> str:
    """Take out the control characters by which foreign text could rule a terminal."""
    return _CONTROL.sub("", text)


def _said(status: int, body: Mapping[str, Any]) -> Iterator[str]:
    code = f" {body['code']}" if body.get("code") else ""
    yield f"{body.get('title') or 'The server refused'} ({status}{code})"
    if detail := body.get("detail"):
        yield str(detail)
    if quote := body.get("quote"):
        clause = [f"{name} {body[name]}" for name in _CLAUSE if body.get(name)]
        yield "; ".join(clause)
        yield f"“{quote}”"
    yield from _faults(body.get("faults"), said=str(body.get("detail")))
    yield from _errors("", body.get("errors"))


def _faults(faults: Any, *, said: str) -> Iterator[str]:
    for fault in faults if isinstance(faults, list) else []:
        if not isinstance(fault, dict):
            continue
        where = f"{fault['place']}: " if fault.get("place") else ""
        line = f"{where}{fault.get('message', '')} {fault.get('remedy') or ''}".strip()
        if line != said:
            yield line


def _errors(place: str, errors: Any) -> Iterator[str]:
    """Flatten the field errors of a form: nested names become dotted places."""
    if isinstance(errors, dict):
        for name, inner in errors.items():
            yield from _errors(f"{place}.{name}" if place else str(name), inner)
    elif isinstance(errors, list):
        for inner in errors:
            yield from _errors(place, inner)
    elif errors is not None:
        yield f"{place}: {errors}"
