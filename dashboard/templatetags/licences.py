"""Show licences, their clauses and their versions in words."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from compliance.rules.catalogue import Clause
from dashboard import licence_words

register = template.Library()
register.filter("in_words", licence_words.in_words)
register.filter("asked", licence_words.asked)


@register.simple_tag
def mark(state: object) -> SafeString:
    """Show a state or an origin as a badge."""
    text = str(state)
    return format_html(
        '<span class="badge {}">{}</span>', licence_words.tone(text), text.replace("_", " ")
    )


@register.filter
def parameters(clause: Clause) -> list[tuple[str, str]]:
    return licence_words.parameters(clause.params)
