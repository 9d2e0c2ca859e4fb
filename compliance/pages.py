"""Read a web page for its words, from hosts that the operator named and from nowhere else.

A URL comes from a member and is fetched by the server, so it could be made to reach what only the
server reaches. Nothing is fetched unless its host stands in LICTOR_PAGE_HOSTS.
"""

from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

import httpx
from django.conf import settings

MAX_BYTES: Final = 2 * 1024 * 1024
_TIMEOUT_SECONDS: Final = 10.0
_SILENT: Final = frozenset({"script", "style", "template", "noscript"})


class PageUnreadable(Exception):  # noqa: N818  the name says what happened
    """The page may not be fetched, did not answer, or holds no text."""


def is_allowed(url: str) -> bool:
    """Tell whether the operator named this host: `example.org`, or `localhost:8000` for http."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.username or parts.password or parts.scheme not in ("http", "https"):
        return False
    named = settings.LICTOR_PAGE_HOSTS
    if parts.scheme == "https" and port in (None, 443) and parts.hostname in named:
        return True
    return port is not None and f"{parts.hostname}:{port}" in named


def read_page(url: str) -> str:
    """Fetch a page and return the words a visitor reads; redirects are not followed.

    Raises: PageUnreadable.
    """
    if not is_allowed(url):
        raise PageUnreadable(f"{url} is not on a host named in LICTOR_PAGE_HOSTS.")
    data = bytearray()
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept": "text/html, text/plain"}) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise PageUnreadable(f"{url} answered {answer.status_code}.")
            for part in answer.iter_bytes():
                data += part
                if len(data) > MAX_BYTES:
                    raise PageUnreadable(f"{url} is larger than {MAX_BYTES} bytes.")
            encoding = answer.charset_encoding or "utf-8"
    except httpx.HTTPError as error:
        raise PageUnreadable(f"{url} cannot be read: {error}") from error
    try:
        return visible_text(data.decode(encoding, errors="replace"))
    except LookupError as error:
        raise PageUnreadable(f"{url} names an unknown encoding.") from error


def visible_text(html: str) -> str:
    """Keep what a visitor reads: no scripts, styles or markup."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return " ".join(" ".join(reader.found).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        # A badge is often a picture; its alternative text is what a visitor is told.
        self.found += [value for name, value in attrs if name == "alt" and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in _SILENT))

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data)
