"""List the safety mechanisms that the files of one checkpoint show."""

from pathlib import Path

from registry.artifact.mechanisms.beside import beside_mechanisms
from registry.artifact.mechanisms.files import Files
from registry.artifact.mechanisms.prompts import prompt_mechanisms
from registry.artifact.mechanisms.shapes import Inventory, Mechanism
from registry.artifact.mechanisms.stated import stated_mechanisms
from registry.artifact.mechanisms.tokens import token_mechanisms
from registry.errors import BadInput


def inventory(folder: Path) -> Inventory:
    """Read a folder; nothing in it is executed, no link is followed.

    What cannot be read is listed beside what was found. Raises: BadInput when it is no folder.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder.", code="not_a_folder", place=str(folder))
    files = Files(folder)
    found: dict[tuple[str, str, str], Mechanism] = {}
    for read in (prompt_mechanisms, token_mechanisms, beside_mechanisms, stated_mechanisms):
        for one in read(files):
            found.setdefault((one.kind, one.name, one.place), one)
    ordered = sorted(found.values(), key=lambda one: (one.kind, one.name, one.place))
    return Inventory(tuple(ordered), tuple(sorted(files.unreadable.items())))
