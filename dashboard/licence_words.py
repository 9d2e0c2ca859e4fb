"""Say a licence record's terms in words for a lawyer's page; pure over the catalogue's shapes."""

from collections.abc import Mapping
from typing import Any

from compliance.rules.clauses import CLAUSE_RULES
from compliance.rules.restrictions import WORTH_KNOWING

_WORDS: Mapping[str, str] = {
    # when
    "use": "the model is used",
    "distribute": "copies go out",
    "dispute": "there is a dispute",
    "train_on_output": "outputs train a model",
    "litigate": "the licensee sues",
    "termination": "the licence ends",
    "make_available": "it is made available to others",
    "accept": "the terms are accepted",
    "bypass": "a safety mechanism is taken away or got round",
    "host": "it is offered as a service",
    "derive": "a work is derived from it",
    "publish": "results are published",
    # who
    "licensee": "the licensee",
    "group": "the licensee with its whole group",
    # about what
    "model": "the model",
    "model_or_derivative": "the model and what is derived from it",
    "derivative": "what is derived from the model",
    "model_or_output": "the model and its outputs",
    "output": "its outputs",
    "dataset": "the data set",
    "model_or_derivative_or_output": "the model, what is derived from it, and outputs",
    # then
    "prohibit": "it is not allowed",
    "monitor": "a person should know of it",
    "notice": "a notice is owed",
    "copy": "a copy of the text is owed",
    "auto_terminate": "the rights end by themselves",
    "patent_licence_ends": "the patent licence ends",
    "badge": "the required words are shown",
    "indemnify": "the licensee holds the licensor harmless",
    "delete": "copies are deleted",
    "pass_on": "the terms are passed on",
    "is_derivative": "it counts as a derivative",
    "counts_as_distribution": "it counts as distribution",
    "name": "the name must begin so",
    "disclose": "it is disclosed",
    "cite": "it is cited",
    "register": "the licensee registers",
    "ask": "leave is asked for first",
    "none": "nothing by itself",
    # what a version does
    "add": "a licence of the organisation's own",
    "override": "in place of the record under it",
    "retire": "takes the organisation's record back",
}
_ASKED: Mapping[str, str] = {
    "guardrail": "Measures the model against its base, and asks whether a safety mechanism was "
    "taken away, weakened or replaced.",
    "litigation": "Holds every declared lawsuit against this clause: who is sued, over what, and "
    "whether it answers another suit.",
    "noncommercial": "Asks whether the stated use is commercial.",
    "research_only": "Asks whether the stated use is research and nothing else.",
    "nonproduction": "Asks whether the stated use is testing or research, and not production.",
    "authorisation": "Asks for the licensor's written leave.",
    "registration": "Asks whether the licensee registered with the licensor.",
    "user_threshold": "Compares the monthly active users of the whole group with the limit.",
    "revenue_threshold": "Compares the revenue with the limit.",
    "territory": "Compares the places of the use, or of the licensee, with those left out.",
    "acceptable_use": "Compares the stated domains with the policy, and asks for evidence about "
    "use.",
    "output_training": "Asks whether outputs or the model improve other models.",
    "output_use": "Asks what the outputs are used for.",
    "licence_copy": "Looks for the text of the licence among the files that go out.",
    "notice_file": "Looks for the exact notice in a Notice file that goes out.",
    "retain_notices": "Asks whether notices of origin are kept in what goes out.",
    "changed_files": "Asks whether changed files say that they were changed.",
    "badge": "Asks whether the required words are shown where the model is offered.",
    "model_name": "Reads the name of the derived model.",
    "share_alike": "Asks under which terms the derived work is offered.",
    "no_derivatives": "Asks whether adapted works are shared.",
    "pass_through": "Asks whether recipients are bound to the terms that must be passed on.",
    "citation": "Asks whether publications name the model as the text asks.",
}
_SHOWN = "Nothing to check: it is shown to the reviewer, because no stated fact can settle it."

_TONES: Mapping[str, str] = {
    "active": "good",
    "read": "good",
    "added": "good",
    "proposed": "warn",
    "changed": "warn",
    "second_hand": "warn",
    "unverified": "bad",
    "refused": "bad",
    "removed": "bad",
    "organisation": "info",
    "operator": "info",
}

SKELETON = """\
# One file is one dated text. docs/writing-a-licence.md explains every key.
key: house-licence-2026-01-15      # ends in the text's version or date
title: House Licence
version: January 15, 2026
date: 2026-01-15
family: house-licence              # versions of one licence share it
licensor: Example GmbH
declares:
  license_name:                    # what a model card writes beside "license: other"
    - house licence
status: read                       # read, second_hand or unverified
source: the signed contract of 2026-01-15
date_read: 2026-01-16
reviewed_by: null                  # the lawyer who read the original
clauses:
  - id: noncommercial
    kind: noncommercial
    section: "3.1"
    quote: Copy the words exactly as they stand in the text.
    trigger: use
    actor: licensee
    scope: model
    effect: prohibit
"""


def in_words(value: str) -> str:
    """Say one word of the catalogue's vocabulary as a reader would; others keep their spelling."""
    return _WORDS.get(value, value.replace("_", " "))


def asked(kind: str) -> str:
    """Say what Lictor asks about a clause of this kind; the rule speaks where no words are."""
    if kind in WORTH_KNOWING:
        return _SHOWN
    told = (CLAUSE_RULES[kind].__doc__ or "").split("\n\n")[0]
    return _ASKED.get(kind) or " ".join(told.split())


def tone(state: str) -> str:
    """Give the colour of a state; an unknown one is plain, never good."""
    return _TONES.get(state, "plain")


def parameters(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Write a clause's parameters as names and values for reading."""
    return [(name.replace("_", " "), _value(value)) for name, value in params.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return "; ".join(str(one).replace("_", " ") for one in value) or "none"
    return str(value).replace("_", " ") if "/" not in str(value) else str(value)
