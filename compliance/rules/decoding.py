"""Turn the bytes of a licence file into text, and pages saved as HTML into what they show.

A wrong guess can never make a text "exact": its digest has to be one the catalogue knows.
"""

import codecs
import re
from html.parser import HTMLParser

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f]")
_PAGE = re.compile(r"<!doctype\s+html|<html[\s>]")
_PAGE_HEAD_CHARS = 1024
_SILENT = frozenset({"script", "style", "template", "noscript", "head"})
_LINK_TARGET = re.compile(r"\]\([^()\s]*\)")
_PLAIN_TAG = re.compile(
    r"</?(a|b|i|p|br|hr|em|strong|center|div|span|h[1-6]|ul|ol|li|u|code|pre|sup|sub)"
    r"(\s+(href|align|id|name)\s*=\s*(\"[^\"]*\"|'[^']*'))*\s*/?>",
    re.I,
)


def decode_text(raw: bytes) -> str | None:
    """Decode UTF-8, UTF-16 or UTF-32, or Windows-1252 as the last resort; None if no text."""
    for mark, name in _BOMS:
        if raw.startswith(mark):
            return _checked(raw, name)
    if not raw:
        return ""
    if b"\x00" in raw:
        return _checked(raw, _utf16_without_mark(raw))
    return _checked(raw, "utf-8") or _checked(raw, "cp1252")


def _utf16_without_mark(raw: bytes) -> str:
    """Tell the byte order of mostly Latin text by where its zero bytes stand."""
    return "utf-16-be" if raw[0::2].count(0) > raw[1::2].count(0) else "utf-16-le"


def _checked(raw: bytes, name: str) -> str | None:
    try:
        text = raw.decode(name)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def is_html(text: str) -> bool:
    """Say whether the text is a whole HTML page, not a licence that mentions a tag."""
    head = text[:_PAGE_HEAD_CHARS].casefold()
    return "<" in head and _PAGE.search(head) is not None


class _Shown(HTMLParser):
    """Collect the text of a page, leaving out what browsers do not show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent.append(tag)
        self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]
        self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def shown_text(page: str) -> str:
    """Extract what an HTML page shows, without scripts, styles and its head."""
    reader = _Shown()
    reader.feed(page)
    reader.close()
    return "".join(reader.parts)


def without_markdown(text: str) -> str:
    """Drop what a rendered markdown page does not show: link targets and plain layout tags.

    Comments stay, and so does every tag that could hide words: somebody reads them.
    """
    return _PLAIN_TAG.sub(" ", _LINK_TARGET.sub("]", text))
