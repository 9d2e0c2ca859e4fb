"""Run Lictor on one host: `python -m config.stack` starts everything and stays up."""

import signal
import sys

import click

from config.stack.layout import Layout
from config.stack.supervisor import Stack, StackError


@click.command(help=__doc__)
@click.option("--port", default=0, help="Port of the dashboard and REST API; 0 picks a free one.")
@click.option("--gateway-port", default=0, help="Port of the OpenAI-compatible gateway.")
def main(port: int, gateway_port: int) -> None:
    stack = Stack(Layout.from_environment(), web_port=port, gateway_port=gateway_port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with stack:
            click.echo(
                f"dashboard and API  {stack.web_url}\ngateway            {stack.gateway_url}/v1"
            )
            click.echo(f"logs               {stack.layout.logs}\nCtrl-C stops everything.")
            stack.watch()
    except KeyboardInterrupt:
        click.echo("stopped")
    except StackError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
