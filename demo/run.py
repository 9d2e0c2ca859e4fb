"""Walk one checkpoint's whole way through Lictor, on real weights: `make demo`."""

import signal
import sys
import time
from pathlib import Path

import click

from config.stack.layout import Layout
from config.stack.supervisor import Stack, StackError
from demo.client import ApiError
from demo.people import Cast, make_cast
from demo.show import StepFailedError, console, fact, held, step
from demo.steps.auditing import audit
from demo.steps.judging import assess_all, refuse_unguarded, review_and_approve
from demo.steps.registering import register_demo_checkpoints, register_nemotron
from demo.steps.serving import chat, deploy, file_suit
from demo.steps.stage import Stage
from demo.use import FOLDERS

STEPS = (
    register_demo_checkpoints,
    register_nemotron,
    assess_all,
    review_and_approve,
    deploy,
    chat,
    refuse_unguarded,
    file_suit,
    audit,
)


def _start(stack: Stack) -> None:
    step(1, "Start the broker, web, permit issuer, workers and gateway")
    started = time.monotonic()
    stack.__enter__()
    database = "PostgreSQL" if "postgres" in stack.layout.database_url else "SQLite (WAL)"
    broker = stack.layout.redis_url or "embedded Valkey on a unix socket"
    held(f"serving after {time.monotonic() - started:.1f} s on {database}, broker {broker}")
    fact(f"dashboard {stack.web_url}   gateway {stack.gateway_url}/v1")


def _print_logins(stack: Stack, cast: Cast) -> None:
    console.print(f"\n[bold]Dashboard[/] {stack.web_url}/   (organisation {cast.organisation})")
    for name, password in cast.passwords.items():
        console.print(f"    {name:<6} {password}")
    console.print(f"[bold]Gateway[/]   {stack.gateway_url}/v1")


def _walk(stack: Stack, layout: Layout) -> Cast:
    _start(stack)
    cast = make_cast(stack)
    folder = layout.var / "demo" / cast.organisation
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(stack, cast, folder)
    for walk in STEPS:
        walk(stage)
    return cast


def _missing() -> list[Path]:
    return [folder for folder in FOLDERS.values() if not (folder / "model.safetensors").is_file()]


@click.command(help=__doc__)
@click.option("--once", is_flag=True, help="Exit when done: 0 only if every step held.")
@click.option("--port", default=0, help="Port of the dashboard; 0 picks a free one.")
@click.option("--gateway-port", default=0, help="Port of the gateway; 0 picks a free one.")
def main(once: bool, port: int, gateway_port: int) -> None:
    if missing := _missing():
        raise click.ClickException(f"{missing[0]} has no weights: run `make train` first")
    layout = Layout.from_environment()
    stack = Stack(layout, web_port=port, gateway_port=gateway_port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    try:
        cast = _walk(stack, layout)
        console.print(f"\n[bold green]Every step held[/] ({time.monotonic() - started:.0f} s).")
        if not once:
            _print_logins(stack, cast)
            console.print("Lictor stays up; Ctrl-C stops it.")
            stack.watch()
    except KeyboardInterrupt:
        console.print("\nstopped")
    except (StepFailedError, StackError, ApiError, TimeoutError) as error:
        console.print(f"\n[bold red]The demo did not hold:[/] {error}")
        console.print(f"Logs: {layout.logs}")
        raise SystemExit(1) from None
    finally:
        stack.stop()


if __name__ == "__main__":
    main()
