"""Write a judgement as one HTML page that reads well on A4 and needs nothing else.

Pure: same input, same bytes. Everything that came from outside is escaped.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from compliance.rules.assessment import DISCLAIMER, Assessment, Finding, Termination
from compliance.rules.catalogue import Library
from compliance.rules.facts import Facts
from compliance.rules.report import HEADINGS

_GROUPS: Final = (
    ("violated", "Broken"),
    ("needs_review", "For a person to settle"),
    ("unmet", "Still to be done"),
    ("met", "Kept"),
    ("not_applicable", "Does not concern this use"),
)
_STYLE: Final = """
th { width: 32%; }
@page { size: A4; margin: 20mm 18mm; @bottom-right { content: counter(page) " / " counter(pages);
  font: 8pt sans-serif; color: #555; } }
body { font: 10.5pt/1.45 Georgia, "Times New Roman", serif; color: #111; max-width: 46rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; border-bottom: 1px solid #999; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
blockquote { margin: .3rem 0; padding-left: .8rem; border-left: 3px solid #bbb;
  font-style: italic; }
.finding { margin: .8rem 0; break-inside: avoid; }
.finding h3 { font-size: 1rem; margin: 0; }
.decision { font-weight: bold; padding: .5rem .8rem; border: 2px solid; display: block; }
.deny { border-color: #a00; color: #a00; } .needs_review { border-color: #960; color: #640; }
.allow, .allow_with_conditions { border-color: #060; color: #040; }
.small { font-size: .85em; color: #444; } code { font-size: .85em; overflow-wrap: anywhere; }
p { margin: .25rem 0; }
"""


def report_html(judged: Assessment, facts: Facts, library: Library) -> str:
    """Write the page."""
    title = f"{judged.subject}: judged on {judged.as_of.isoformat()}"
    body = [
        f"<h1>{escape(judged.subject)}</h1>",
        f'<p class="small">Judged on {judged.as_of.isoformat()}</p>',
        f'<p class="decision {judged.decision}">{escape(HEADINGS[judged.decision])}</p>',
        _use(facts),
        _ended(judged.terminated),
        _licences(judged, library),
        *(_group(judged.findings, status, head) for status, head in _GROUPS),
        _what_it_rests_on(judged),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _use(facts: Facts) -> str:
    use = facts.use
    unknown = "not stated"
    commercial = {True: "yes", False: "no", None: unknown}[use.commercial]
    rows = [
        ("For", ", ".join(sorted(use.purposes)) or unknown),
        ("Commercial", commercial),
        ("Monthly active users", _number(use.monthly_active_users)),
        ("Annual revenue, US dollars", _number(use.annual_revenue_usd)),
        ("Places", ", ".join(sorted(use.jurisdictions)) or unknown),
        ("Domains", ", ".join(sorted(use.domains)) or unknown),
    ]
    return "<h2>The use</h2>" + _rows((name, escape(value)) for name, value in rows)


def _number(value: int | None) -> str:
    return "not stated" if value is None else f"{value:,}"


def _ended(items: Iterable[Termination]) -> str:
    found = []
    for item in items:
        what = "The patent licence" if item.scope == "patent_only" else "The licence"
        cause = f"matter {item.matter}" if item.matter else f"a breach ({item.breach})"
        since = item.effective.isoformat() if item.effective else "a day the text does not name"
        found.append(
            f'<div class="finding"><h3>{escape(item.licence_title)}, section '
            f"{escape(item.section)}</h3><p>{what} for {escape(item.model)} ended on "
            f"{escape(since)} by {escape(cause)}.</p>"
            f"<blockquote>“{escape(item.quote)}”</blockquote></div>"
        )
    return "<h2>What ended</h2>" + "".join(found) if found else ""


def _licences(judged: Assessment, library: Library) -> str:
    rows = []
    for item in judged.binding_licences:
        known = library.get(item.licence)
        read = "" if known is None or known.status == "read" else " (not read in full)"
        version = f", {item.version}" if item.version else ""
        rows.append(
            (
                item.licence,
                f"{escape(item.title)}{escape(version)}{read}<br>"
                f'<span class="small">{escape(item.resolution)}, through '
                f"{escape(' ← '.join(item.path))}</span>",
            )
        )
    if not rows:
        return "<h2>Licences that bind it</h2><p>None could be identified.</p>"
    return "<h2>Licences that bind it</h2>" + _rows(rows)


def _group(findings: Iterable[Finding], status: str, head: str) -> str:
    found = [_finding(item) for item in findings if item.status == status]
    return f"<h2>{head}</h2>" + "".join(found) if found else ""


def _finding(item: Finding) -> str:
    where = f" · {escape(item.licence)}" if item.licence else ""
    section = f" section {escape(item.section)}" if item.section else ""
    parts = [
        f'<div class="finding"><h3>{escape(item.rule.replace("_", " "))}'
        f'<span class="small">{where}{section} · {escape(item.severity)}</span></h3>',
        f"<p>{escape(item.because)}</p>",
        f"<blockquote>“{escape(item.quote)}”</blockquote>" if item.quote else "",
        f"<p><strong>To do:</strong> {escape(item.remedy)}</p>" if item.remedy else "",
        f'<p class="small">Evidence: {_evidence(item)}</p>' if item.evidence else "",
        f'<p class="small">Waived by {escape(item.waived_by)}</p>' if item.waived_by else "",
        "</div>",
    ]
    return "".join(parts)


def _evidence(item: Finding) -> str:
    told = (f"{one.kind}: {one.summary} {one.reference}".strip() for one in item.evidence)
    return escape("; ".join(told))


def _what_it_rests_on(judged: Assessment) -> str:
    rows = [
        ("Facts", f"<code>{escape(judged.facts_digest)}</code>"),
        ("Catalogue", f"<code>{escape(judged.catalogue_digest)}</code>"),
        ("This judgement", f"<code>{escape(judged.digest())}</code>"),
    ]
    note = f'<p class="small">{escape(DISCLAIMER)}</p>'
    return "<h2>What it rests on</h2>" + _rows(rows) + note
