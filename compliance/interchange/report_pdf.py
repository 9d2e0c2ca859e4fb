"""Print a judgement's page as PDF; same page, same bytes."""

import hashlib
from datetime import UTC, datetime

from compliance.rules.assessment import Assessment


def report_pdf(page: str, judged: Assessment) -> bytes:
    """Render the HTML page of a judgement; fetches nothing.

    Raises: RuntimeError when the PDF libraries cannot be loaded, saying what to install.
    """
    try:
        from weasyprint import HTML
    except OSError as error:
        raise RuntimeError(
            f"PDF needs Pango (Debian: libpango-1.0-0 libpangoft2-1.0-0): {error}"
        ) from error
    document = HTML(string=page, url_fetcher=_nothing).render()
    document.metadata.title = f"{judged.subject}, judged on {judged.as_of.isoformat()}"
    document.metadata.created = _instant(judged)
    document.metadata.modified = _instant(judged)
    document.metadata.generator = "Lictor"
    identifier = hashlib.sha256(page.encode()).digest()[:16]
    written: bytes = document.write_pdf(pdf_identifier=identifier)
    return written


def _instant(judged: Assessment) -> str:
    return datetime.combine(judged.as_of, datetime.min.time(), tzinfo=UTC).isoformat()


def _nothing(url: str, *_: object, **__: object) -> dict[str, object]:
    raise ValueError(f"a report loads nothing, and {url} was asked for")
