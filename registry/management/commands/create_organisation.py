"""Create an organisation with its people: the first step of every installation."""

import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from registry.auth import PREFIX, new_secret
from registry.ledger.append import append
from registry.models import ApiToken, Membership, Organisation, User
from registry.roles import ROLES


class Command(BaseCommand):
    help = (
        "Create an organisation and give people roles in it. Prints passwords and API tokens once, "
        "as JSON. A person who exists already gets a new password only with --reset-passwords."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--name", required=True)
        parser.add_argument(
            "--person",
            action="append",
            default=[],
            metavar="USERNAME:ROLE[,ROLE]:FULL NAME",
            help="may be given many times; roles: " + ", ".join(sorted(ROLES)),
        )
        parser.add_argument("--reset-passwords", action="store_true")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if Organisation.objects.filter(slug=options["slug"]).exists():
            raise CommandError(f"organisation {options['slug']!r} exists already")
        organisation = Organisation.objects.create(slug=options["slug"], name=options["name"])
        append(
            organisation,
            actor="system:install",
            action="organisation.created",
            subject=organisation.slug,
            payload={"name": organisation.name},
        )
        people = [
            self._person(organisation, spec, reset=options["reset_passwords"])
            for spec in options["person"]
        ]
        self.stdout.write(json.dumps({"organisation": organisation.slug, "people": people}))

    def _person(self, organisation: Organisation, spec: str, *, reset: bool) -> dict[str, Any]:
        try:
            username, roles_text, full_name = spec.split(":", 2)
        except ValueError:
            raise CommandError(f"--person {spec!r} is not USERNAME:ROLES:FULL NAME") from None
        roles = [role for role in roles_text.split(",") if role]
        if unknown := sorted(set(roles) - set(ROLES)):
            raise CommandError(f"unknown role {unknown[0]!r}; one of {', '.join(sorted(ROLES))}")
        user, is_new = User.objects.get_or_create(username=username)
        user.first_name, _, user.last_name = full_name.partition(" ")
        password = None
        if is_new or reset:
            password = secrets.token_urlsafe(9)
            user.set_password(password)
        user.save()
        Membership.objects.create(organisation=organisation, user=user, roles=roles)
        secret, prefix, digest = new_secret(PREFIX)
        ApiToken.objects.create(
            organisation=organisation, owner=user, name="install", prefix=prefix, sha256=digest
        )
        append(
            organisation,
            actor="system:install",
            action="membership.created",
            subject=username,
            payload={"roles": roles},
        )
        return {"username": username, "roles": roles, "password": password, "token": secret}
