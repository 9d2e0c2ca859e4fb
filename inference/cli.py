"""`python -m inference`: the two processes of the data path, and a guard to try out."""

import logging
from pathlib import Path
from typing import NoReturn

import click
from starlette.applications import Starlette

from inference.contract import ServingError
from inference.gateway.app import GatewaySettings, build_gateway
from inference.launch import Launcher, StateFile
from registry.artifact.guard import MAX_GUARD_BYTES, read_guard
from registry.artifact.strict_json import read_json_object
from registry.errors import BadInput

UNMANAGED_WARNING = """
  ***************************************************************************
  *  UNMANAGED: no serving permit is asked for. Nobody checks the licence,  *
  *  the review or the files of this checkpoint. Not for production.        *
  ***************************************************************************
"""
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
STATE_FILE = click.option(
    "--state-file",
    type=click.Path(path_type=Path),
    help='Where to write {"port", "pid", "state", "checkpoint"}.',
)


@click.group()
@click.option("--verbose", is_flag=True, help="Log more.")
def main(verbose: bool) -> None:
    """Serve a checkpoint under a permit, or pass requests to replicas that do."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)


@main.command()
@click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--unmanaged", is_flag=True, help="Serve without a permit, and say so loudly.")
@click.option("--issuer", metavar="URL", help="Permit issuer, such as http://127.0.0.1:8001.")
@click.option("--replica", metavar="ID", help="This replica's id: the permit's audience.")
@click.option("--replica-token-file", type=FILE, help="File with the token of this replica.")
@click.option("--manifest", type=FILE, help="Manifest (JSON) of the approved checkpoint.")
@click.option("--expect-digest", metavar="sha256:...", help="Digest the manifest must have.")
@click.option("--port", default=0, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--name", help="Model name when unmanaged  [default: the folder's name]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads for the model.")
@click.option("--max-batch", default=16, show_default=True, type=click.IntRange(1))
@click.option(
    "--max-queued",
    default=1024,
    show_default=True,
    type=click.IntRange(1),
    help="Choices that may wait for a slot; more are refused with 429.",
)
@click.option("--context", type=click.IntRange(16), help="Tokens per sequence, at most.")
@click.option(
    "--dtype", type=click.Choice(["fp32", "bf16", "int8"]), default="fp32", show_default=True
)
@click.option(
    "--engine", type=click.Choice(["native", "vllm"]), default="native", show_default=True
)
@click.option("--vllm-python", type=FILE, help="Interpreter with vLLM, which is started with it.")
@click.option("--vllm-url", metavar="URL", help="A vLLM server that runs already; unmanaged only.")
@click.option(
    "--compile",
    "compiling",
    type=click.Choice(["off", "beside", "first"]),
    default="beside",
    show_default=True,
    help="Compile the decode step: never, while serving, or before the first request.",
)
@click.option(
    "--state-file", type=click.Path(path_type=Path), help="Where to write port and state."
)
@click.option("--hints", metavar="URL", help="Redis server whose messages mean: renew now.")
def serve(**options: object) -> None:
    """Serve the checkpoint in DIR, OpenAI-compatible.

    \b
    Alone:     python -m inference serve ./checkpoint --unmanaged --port 8080
    Governed:  python -m inference serve ./checkpoint --issuer http://127.0.0.1:8001
                 --replica ID --replica-token-file token --manifest manifest.json
                 --expect-digest sha256:...

    Governed, every file is hashed against the manifest before it is used, and no token leaves
    without a fresh permit. SIGTERM drains.
    """
    from inference.serve import ServeOptions, run_runtime

    try:
        chosen = ServeOptions.checked(**options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if chosen.unmanaged:
        click.echo(UNMANAGED_WARNING, err=True)
    try:
        code = run_runtime(chosen)
    except (ServingError, OSError) as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(code)


@main.command()
@click.option("--issuer", required=True, metavar="URL", help="Permit issuer: routes and keys.")
@click.option("--gateway-token-file", required=True, type=FILE, help="This gateway's token.")
@click.option("--port", default=0, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--hints", metavar="URL", help="Redis server whose messages mean: refresh now.")
@click.option("--max-running", default=64, show_default=True, help="Requests per endpoint.")
@click.option(
    "--state-file", type=click.Path(path_type=Path), help="Where to write port and state."
)
def gateway(
    issuer: str,
    gateway_token_file: Path,
    port: int,
    host: str,
    hints: str | None,
    max_running: int,
    state_file: Path | None,
) -> None:
    """Pass /v1 requests to replicas that hold a fresh permit.

    Keys, endpoints and replicas come from the issuer, once a second; when it falls silent,
    everything stops within the life of a permit.
    """
    settings = GatewaySettings(
        issuer_url=issuer.rstrip("/"),
        token=read_secret(gateway_token_file),
        hints_url=hints,
        max_running=max_running,
    )
    _run(build_gateway(settings), host, port, state_file)


@main.command()
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--upstream", required=True, metavar="URL", help="Server to stand in front of.")
@click.option("--upstream-token-file", type=FILE, help="File with its bearer token.")
@click.option("--port", default=0, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--state-file", type=click.Path(path_type=Path), help="Where to write port and state."
)
def guard(
    file: Path,
    upstream: str,
    upstream_token_file: Path | None,
    port: int,
    host: str,
    state_file: Path | None,
) -> None:
    """Try out the guard in FILE (lictor.guard/1) in front of an OpenAI-compatible server.

    It reads requests and answers just as the gateway does, but nobody checks any permit: a
    managed endpoint has its guard inside the gateway.
    """
    from inference.guard.proxy import build_guard_proxy

    try:
        read = read_guard(read_json_object(file, max_bytes=MAX_GUARD_BYTES))
    except BadInput as error:
        raise click.ClickException(f"{file}: {error}") from error
    token = "none" if upstream_token_file is None else read_secret(upstream_token_file)
    click.echo(UNMANAGED_WARNING, err=True)
    click.echo(f"guard {read.name} {read.digest}", err=True)
    _run(build_guard_proxy(read, upstream, token=token), host, port, state_file)


def _run(app: Starlette, host: str, port: int, state_file: Path | None) -> NoReturn:
    """Serve `app` until told to stop, then end this process with its exit code.

    Raises: click.ClickException when the address cannot be used.
    """
    try:
        launcher = Launcher(host=host, port=port)
    except OSError as error:
        raise click.ClickException(f"{host}:{port} cannot be used: {error}") from error
    StateFile(state_file, port=launcher.port).write("ready")
    raise SystemExit(launcher.run(app))


def read_secret(path: Path) -> str:
    """Read a token from its file.

    Raises: click.ClickException if the file is empty.
    """
    secret = path.read_text(encoding="utf-8").strip()
    if not secret:
        raise click.ClickException(f"{path} is empty; it should hold a token")
    return secret
