"""`lictor serve`: become the inference runtime."""

import os
import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run the inference runtime on a checkpoint folder, OpenAI-compatible.

    \b
    All options go to the runtime: see `lictor serve --help`.
    Example:  lictor serve ./my-checkpoint --unmanaged --port 8080
    """
    become("serve", *arguments)


def become(*words: str) -> None:
    """Replace this process by the data path's own, so that signals and the exit code are its."""
    command = [sys.executable, "-m", "inference", *words]
    os.execv(sys.executable, command)  # noqa: S606 - no shell, and the same interpreter
