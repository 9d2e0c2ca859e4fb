"""Take the intended use from options; what is not given is unknown, never "no"."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from registry.cli.failure import BadRequest

# The server's words; `tests/registry/test_cli_online.py` holds the two together.
PURPOSES = ("hosted_service", "internal", "redistribution", "research", "training_other_models")
_OPTIONS = (
    click.option(
        "--purpose", "purposes", multiple=True, type=click.Choice(PURPOSES), help="Repeatable."
    ),
    click.option("--commercial/--no-commercial", default=None, help="Unknown if absent."),
    click.option("--mau", type=click.IntRange(min=0), help="Monthly active users."),
    click.option("--revenue", type=click.IntRange(min=0), help="Annual revenue in US dollars."),
    click.option(
        "--monthly-revenue", type=click.IntRange(min=0), help="Best month's, in US dollars."
    ),
    click.option(
        "--past-mau",
        "past_mau",
        multiple=True,
        metavar="YYYY-MM=USERS",
        help="Users of a past month, which some licences count. Repeatable.",
    ),
    click.option("--home", help="Country of the licensee's principal place of business: DE, US."),
    click.option("--jurisdiction", "jurisdictions", multiple=True, help="DE, US, ... Repeatable."),
    click.option("--domain", "domains", multiple=True, help="customer_support, ... Repeatable."),
)
F = TypeVar("F", bound=Callable[..., Any])


def use_options(command: F) -> F:
    """Add the options of an intended use; they arrive together for `use_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def use_of(options: dict[str, Any]) -> dict[str, Any]:
    """Make the API's `use`. Raises: CommandFailed without a purpose."""
    if not options["purposes"]:
        raise BadRequest("Name what the model is for: --purpose " + "|".join(PURPOSES) + ".")
    return {
        "purposes": list(options["purposes"]),
        "commercial": options["commercial"],
        "monthly_active_users": options["mau"],
        "annual_revenue_usd": options["revenue"],
        "monthly_revenue_usd": options["monthly_revenue"],
        "past_monthly_active_users": _months(options["past_mau"]),
        "licensee_home": options["home"],
        "jurisdictions": list(options["jurisdictions"]),
        "domains": list(options["domains"]),
    }


def _months(given: tuple[str, ...]) -> dict[str, int]:
    months = {}
    for item in given:
        month, equals, users = item.partition("=")
        if not equals or not users.isdigit():
            raise BadRequest(f"--past-mau takes YYYY-MM=USERS, such as 2024-06=5000000; not {item}")
        months[month] = int(users)
    return months


def is_given(options: dict[str, Any]) -> bool:
    """Tell whether any option of a use was given."""
    return any(value is not None and value != () for value in options.values())
