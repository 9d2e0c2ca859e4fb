"""The command line: `lictor`.

Each command imports what it needs when it runs, so that `lictor --help` is quick, the offline
commands never load Django, and only the online ones load an HTTP library.
"""

import os
import sys

import click

from registry.cli.behaviour import behaviour
from registry.cli.chat import chat
from registry.cli.check import check
from registry.cli.compare import compare
from registry.cli.deploy import deploy
from registry.cli.endpoint import endpoint
from registry.cli.evaluate import evaluate
from registry.cli.export import export
from registry.cli.guard import guard
from registry.cli.import_ import import_
from registry.cli.ledger import ledger
from registry.cli.licence import licence
from registry.cli.licence_text import identify, known
from registry.cli.manifest import manifest
from registry.cli.matter import matter
from registry.cli.measure import measure
from registry.cli.mechanisms import mechanisms
from registry.cli.notices import notices
from registry.cli.pin import pin
from registry.cli.plan import plan
from registry.cli.policy import policy
from registry.cli.register import register
from registry.cli.review import review
from registry.cli.serve import serve
from registry.cli.watch import watch
from registry.errors import LictorError

BAD_INPUT_EXIT = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lictor", prog_name="lictor")
def lictor() -> None:
    """May we run this checkpoint, here, for this use, today, and can we prove it?

    \b
    Without a server: evaluate, compare, mechanisms, behaviour, export, notices, plan, manifest,
    ledger verify, licence check, policy test, check --offline, guard check, serve. The others talk
    to the server at LICTOR_URL with your LICTOR_TOKEN; chat to the gateway at LICTOR_GATEWAY.
    Exit codes: 0 done, 1 failed or found wanting, 2 bad input or refused by the server.
    Example:  lictor plan config.json --gpu a10g
    """


_OFFLINE = (
    evaluate,
    compare,
    mechanisms,
    behaviour,
    export,
    notices,
    plan,
    manifest,
    ledger,
    serve,
)
_ONLINE = (
    *(import_, watch, register, check, review, pin, deploy, endpoint, chat, licence, matter),
    *(policy, guard, measure),
)
for _command in (*_OFFLINE, *_ONLINE):
    lictor.add_command(_command)
# The records of licences ask the server; what a text is, and what is known, is answered offline.
for _command in (identify, known):
    licence.add_command(_command)


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
