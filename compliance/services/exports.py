"""Give a stored judgement in a format that other tools or people read."""

from datetime import datetime
from importlib.metadata import version

from django.utils import timezone

from compliance.interchange.formats import SUFFIX, as_json, write
from compliance.models import Assessment
from compliance.services.assess import judge
from compliance.services.uses import read_use
from registry.errors import Conflict, Unavailable


def export(row: Assessment, form: str, *, now: datetime | None = None) -> bytes:
    """Write one judgement; `form` is a name of `compliance.interchange.formats.MEDIA`.

    JSON is the stored report, whatever came later. The others also tell facts that the report does
    not hold, so they are written only while the same facts, licences and policy give it.
    Raises: Conflict (not_as_judged) when that is no longer so; Unavailable where this host cannot
    write PDF.
    """
    if form == "json":
        return as_json(row.report)
    found = judge(row.checkpoint, read_use(row.use), now=now or timezone.now())
    if (found.input_digest, found.report_digest) != (row.input_digest, row.report_digest):
        raise Conflict(
            "The facts, the licences or the policy changed after this judgement; judge again and "
            "export that. Its JSON can be had at any time.",
            code="not_as_judged",
        )
    hashes = {str(one["path"]): str(one["sha256"]) for one in row.checkpoint.manifest["files"]}
    try:
        return write(
            form,
            found.report,
            found.facts,
            found.library,
            version=version("lictor"),
            path=found.facts.subject,
            files={found.facts.subject: hashes} if hashes else {},
        )
    except RuntimeError as error:
        # The PDF writer's system libraries are not on every host.
        raise Unavailable(str(error), code="format_unavailable") from error


def file_name(row: Assessment, form: str) -> str:
    """Name the file after the checkpoint and the day, in characters that every system takes."""
    name = row.checkpoint.model.name.replace("/", "-")
    plain = "".join(
        one if one.isascii() and (one.isalnum() or one in "-._") else "-" for one in name
    )
    return f"{plain}-{row.as_of}.{SUFFIX[form]}"
