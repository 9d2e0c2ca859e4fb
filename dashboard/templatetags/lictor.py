"""Show states, digests and bytes the same way on every page."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

_TONES = {
    "good": {
        "active",
        "allow",
        "approved",
        "ready",
        "met",
        "retained",
        "replaced",
        "unchanged",
        "done",
        "approve",
        "running",
        "ok",
    },
    "warn": {
        "allow_with_conditions",
        "needs_review",
        "open",
        "pending",
        "progressing",
        "inconclusive",
        "starting",
        "stale",
        "unmet",
        "queued",
        "draft",
        "reduced",
        "degraded",
        "waiting",
        "ask",
        "changed",
        "review",
    },
    "bad": {
        "deny",
        "violated",
        "removed",
        "refused",
        "failed",
        "ended",
        "filed",
        "refuse",
        "terminated",
        "weakened",
        "concern",
    },
}


@register.filter
def tone(state: object) -> str:
    """Return the colour name for a state; an unknown state is plain, never good."""
    return next((name for name, states in _TONES.items() if str(state) in states), "plain")


@register.simple_tag
def badge(state: object) -> SafeString:
    return format_html(
        '<span class="badge {}">{}</span>', tone(state), str(state).replace("_", " ")
    )


@register.filter
def short(digest: object) -> str:
    """Shorten `sha256:…` for reading; the whole digest stands on the checkpoint's own page."""
    text = str(digest)
    return text.removeprefix("sha256:")[:12]


@register.filter
def after_slash(name: str) -> str:
    """Leave the organisation out of `org/name`, where space is short."""
    return name.rpartition("/")[2]


@register.filter
def words(name: str) -> str:
    return name.replace("_", " ")


@register.filter
def plain(value: object) -> str:
    """Write a JSON value for reading: lists with commas, yes and no, thousands apart."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item).replace("_", " ") for item in value) or "—"
    return f"{value:,}" if isinstance(value, int) else str(value if value is not None else "—")


@register.filter
def weighing(findings: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the findings that say something about this use."""
    return [row for row in findings if row.get("status") != "not_applicable"]


@register.filter
def idle(findings: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the findings whose clause does not concern this use."""
    return [row for row in findings if row.get("status") == "not_applicable"]


@register.filter
def gib(size: object) -> str:
    """Show bytes in the unit that reads best."""
    if not isinstance(size, int | float):
        return "—"
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.2f} GiB"
