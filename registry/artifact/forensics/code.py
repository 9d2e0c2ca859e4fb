"""Name the code that compares weights and files, so that a record says what it was made by."""

import hashlib
from functools import cache
from pathlib import Path


@cache
def code_digest() -> str:
    """Return "sha256:<hex>" over the names and bytes of the modules that compare, in order.

    They are this package's, for weights, and those of `mechanisms`, for the files beside them.
    """
    whole, here = hashlib.sha256(), Path(__file__).parent
    for folder in (here, here.parent / "mechanisms"):
        for path in sorted(folder.glob("*.py")):
            whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return "sha256:" + whole.hexdigest()
