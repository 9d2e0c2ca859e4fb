"""Give offline commands the licences that count here: the bundled ones under the operator's."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compliance.rules.catalogue import Library
    from compliance.rules.merge import Base

FOLDER = "LICTOR_LICENCES"


def installed_library() -> "Library":
    """Give the licences of `installed_base`. Raises: BadInput (catalogue_invalid)."""
    return installed_base().library


def installed_base() -> "Base":
    """Read the catalogue with the folder that LICTOR_LICENCES names laid over it.

    Raises: BadInput (catalogue_invalid) listing every fault of every file in that folder.
    """
    from compliance.rules.faults import InputFaults
    from compliance.rules.merge import base_catalogue
    from registry.errors import BadInput

    try:
        return base_catalogue(os.environ.get(FOLDER, ""))
    except InputFaults as error:
        raise BadInput(str(error), code=error.code, place=FOLDER) from error
