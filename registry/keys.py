"""Load the installation's Ed25519 keys from files; make them only when asked to.

`ledger` signs roots and evidence (web and worker read it); `permit` signs serving permits and is
read by the permit issuer alone.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings

from registry.errors import Unavailable

NAMES: Final = ("ledger", "permit")


def key_path(name: str) -> Path:
    if name not in NAMES:
        raise ValueError(f"unknown key {name!r}; one of {NAMES}")
    return Path(settings.LICTOR_KEYS) / f"{name}.pem"


def make_key(name: str) -> bool:
    """Write a new private key, readable by the owner only; return False if there is one already."""
    path = key_path(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    return True


def private_key(name: str) -> Ed25519PrivateKey:
    """Read a private key.

    Raises: Unavailable (code key_missing) when there is none: nothing is signed then.
    """
    return _load(key_path(name))


@lru_cache(maxsize=8)
def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The key {path.name} cannot be read; run `manage.py init_keys`.", code="key_missing"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Unavailable(f"The key {path.name} is not an Ed25519 key.", code="key_missing")
    return key
