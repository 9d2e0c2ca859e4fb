"""Give a judgement in any of the formats, as bytes: same input, same bytes."""

import json
from collections.abc import Callable
from typing import Any, Final

from compliance.interchange.cyclonedx import bill_of_materials
from compliance.interchange.naming import Files
from compliance.interchange.places import Judged
from compliance.interchange.report_html import report_html
from compliance.interchange.report_pdf import report_pdf
from compliance.interchange.sarif import sarif_log
from compliance.interchange.spdx import spdx_document
from compliance.rules.assessment import Assessment
from compliance.rules.catalogue import Library
from compliance.rules.facts import Facts, facts_digest

MEDIA: Final = {
    "json": "application/json",
    "cyclonedx": "application/vnd.cyclonedx+json; version=1.6",
    "cyclonedx-1.7": "application/vnd.cyclonedx+json; version=1.7",
    "spdx": "application/spdx+json",
    "sarif": "application/sarif+json",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
}
SUFFIX: Final = {
    "json": "json",
    "cyclonedx": "cdx.json",
    "cyclonedx-1.7": "cdx.json",
    "spdx": "spdx.json",
    "sarif": "sarif",
    "html": "html",
    "pdf": "pdf",
}


class NotAsJudgedError(ValueError):
    """Say that facts or catalogue are not those that the judgement was made on."""


def write(
    form: str,
    judged: Assessment,
    facts: Facts,
    library: Library,
    *,
    version: str,
    path: str = "model",
    source: str = "",
    files: Files | None = None,
) -> bytes:
    """Write one format.

    `path` and `source` are the scenario's, for formats that point at lines; `files` maps a model
    to the SHA-256 of its files.
    Raises: KeyError for a format that is none of `MEDIA`; NotAsJudgedError, since a document must
    not mix one judgement with the facts of another.
    """
    if (judged.facts_digest, judged.catalogue_digest) != (facts_digest(facts), library.digest):
        raise NotAsJudgedError(
            "The facts or the catalogue changed after this judgement; judge again and export that."
        )
    makers: dict[str, Callable[[], bytes]] = {
        "json": lambda: as_json(judged.to_dict()),
        "cyclonedx": lambda: _bill("1.6"),
        "cyclonedx-1.7": lambda: _bill("1.7"),
        "spdx": lambda: as_json(
            spdx_document(judged, facts, library, version=version, files=files)
        ),
        "sarif": lambda: as_json(
            sarif_log([Judged(path, judged, facts, source)], library, version=version)
        ),
        "html": lambda: report_html(judged, facts, library).encode(),
        "pdf": lambda: report_pdf(report_html(judged, facts, library), judged),
    }

    def _bill(spec: str) -> bytes:
        return as_json(
            bill_of_materials(judged, facts, library, version=version, spec=spec, files=files)
        )

    return makers[form]()


def as_json(value: Any) -> bytes:
    """Write JSON with sorted keys and a closing line: same value, same bytes."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
