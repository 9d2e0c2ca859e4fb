"""The words by which a text is taken for one about safety; one place, used by every reader."""

import re
from typing import Final

SAFETY: Final = re.compile(
    r"\b(safe(ty|guards?|ly)?|unsafe|harm(ful|less|s)?|refus\w+|declin\w+|illegal|unlawful|unethical"
    r"|ethical|danger\w*|violen\w+|hate\w*|toxic\w*|bias(ed)?|explicit|sexual\w*|self-harm|privacy"
    r"|polic(y|ies)|guidelines?|guard(rails?)?|moderat\w+|prohibit\w*|forbidden|inappropriate"
    r"|must not|do not|don't|never|cannot|can't|won't|not allowed)\b",
    re.IGNORECASE,
)
REMOVED: Final = re.compile(
    r"(abliterat\w*|uncensor\w*|de-?censor\w*|heretic|jailbr(eak|oken)\w*|unfilter\w*|unalign\w*"
    r"|no[-_ ]?(guard-?rails?|refusals?|safety|filters?)|refusals?[-_ ]?(removed|ablat\w*)"
    r"|guard-?rails?[-_ ]?(removed|free)|\bnsfw\b)",
    re.IGNORECASE,
)
GUARD_NAMES: Final = re.compile(
    r"(guard|moderation|safety[-_]?checker|shieldgemma|content[-_]?safety|toxic)", re.IGNORECASE
)
SECTION: Final = re.compile(
    r"(safety|safeguard|guardrail|ethic|responsib|harm|bias|risk|misuse|out-of-scope|red[- ]team"
    r"|security|acceptable use|intended use|limitation)",
    re.IGNORECASE,
)


def is_about_safety(text: str) -> bool:
    return SAFETY.search(text) is not None


def says_removed(text: str) -> str:
    """Return the word that tells of removed guardrails; "" if there is none."""
    found = REMOVED.search(text)
    return found.group(0) if found else ""
