"""The command line: `lictor`.

Each command imports what it needs when it runs, so that `lictor --help` is quick and the offline
commands never load Django.
"""

import os
import sys

import click

from registry.cli.evaluate import evaluate
from registry.cli.ledger import ledger
from registry.cli.manifest import manifest
from registry.cli.plan import plan
from registry.cli.serve import serve
from registry.errors import LictorError

BAD_INPUT_EXIT = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lictor", prog_name="lictor")
def lictor() -> None:
    """May we run this checkpoint, here, for this use, today, and can we prove it?

    \b
    Exit codes: 0 done, 1 checked and found wanting, 2 bad input.
    Example:  lictor plan config.json --gpu a10g
    """


for _command in (evaluate, plan, manifest, ledger, serve):
    lictor.add_command(_command)


def main() -> None:
    """Run the command line; an expected failure is one paragraph on stderr and exit 2."""
    try:
        lictor.main(prog_name="lictor")
    except LictorError as error:
        click.echo(f"lictor: {error.detail}", err=True)
        sys.exit(BAD_INPUT_EXIT)
    except BrokenPipeError:
        # The reader went away, as `| head` does; stdout must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BAD_INPUT_EXIT)
    except OSError as error:
        click.echo(f"lictor: {error.filename or 'system'}: {error.strerror or error}", err=True)
        sys.exit(BAD_INPUT_EXIT)
