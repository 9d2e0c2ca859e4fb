"""Make the demo's organisation and people, and hold their logins for printing."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from config.stack.supervisor import Stack
from demo.client import Api

PEOPLE = {
    "erin": ("submitter", "Erin Engineer"),
    "lena": ("legal_reviewer", "Lena Legal"),
    "sam": ("security_reviewer", "Sam Security"),
    "olga": ("operator", "Olga Operator"),
    "aki": ("auditor", "Aki Auditor"),
}


@dataclass(frozen=True)
class Cast:
    """Hold one API client for each person, and the passwords to print."""

    organisation: str
    erin: Api
    lena: Api
    sam: Api
    olga: Api
    aki: Api
    passwords: dict[str, str]


def make_cast(stack: Stack) -> Cast:
    """Create a fresh organisation, so that every run starts from nothing and erases nothing."""
    slug = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    arguments = [f"--person={name}:{role}:{full}" for name, (role, full) in PEOPLE.items()]
    printed = stack.manage(
        "create_organisation", slug, "--name", "Acme Robotics", "--reset-passwords", *arguments
    )
    people = {person["username"]: person for person in json.loads(printed)["people"]}
    api = {name: Api(stack.web_url, people[name]["token"], name) for name in PEOPLE}
    passwords = {name: people[name]["password"] for name in PEOPLE}
    return Cast(slug, **api, passwords=passwords)
