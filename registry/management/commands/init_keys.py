"""Make the installation's signing keys, once."""

from typing import Any

from django.core.management.base import BaseCommand

from registry.keys import NAMES, key_path, make_key


class Command(BaseCommand):
    help = "Make the Ed25519 keys that sign the ledger and the serving permits, where missing."

    def handle(self, *args: Any, **options: Any) -> None:
        for name in NAMES:
            said = "made" if make_key(name) else "kept"
            self.stdout.write(f"{said} {key_path(name)}")
