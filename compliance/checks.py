"""Check the installation's licence folder before anything starts."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from compliance.rules.faults import InputFaults
from compliance.selectors_licences import base

FOLDER_INVALID = "compliance.E001"


@register("licences")
def check_licence_folder(**_: Any) -> list[CheckMessage]:
    """Refuse to start on a catalogue with a fault, naming every fault of every file."""
    try:
        base()
    except InputFaults as error:
        return [
            Error(
                str(error),
                hint="Correct the files, or set LICTOR_LICENCES to another folder or to nothing.",
                id=FOLDER_INVALID,
            )
        ]
    return []
