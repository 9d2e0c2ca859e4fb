"""The shapes of a licence in the catalogue: versions, clauses, litigation terms.

Owns the vocabulary; reading the files is `library`, judging them is `clauses`.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

CLAUSE_KINDS: dict[str, dict[str, tuple[type, ...]]] = {
    # kind -> its parameters; a name that ends in "?" may be left out
    "guardrail": {"substitute": (str,), "acts": (list,), "ends?": (bool,)},
    "litigation": {
        "rights": (list,),
        "against": (str,),
        "counterclaims": (bool,),
        "outputs": (bool,),
        "ends": (str,),
        "reach": (str,),
        "carve_out": (str,),
        "threats?": (bool,),
    },
    # What the use may be.
    "noncommercial": {},
    "research_only": {"excludes?": (list,)},
    "nonproduction": {},
    "authorisation": {"commercial_only?": (bool,)},
    "user_threshold": {
        "limit": (int,),
        "commercial_only?": (bool,),
        "counted_on?": (str,),
        "effect?": (str,),
        "badge?": (str,),
    },
    "revenue_threshold": {
        "limit_usd": (int,),
        "commercial_only?": (bool,),
        "period?": (str,),
        "effect?": (str,),
        "badge?": (str,),
    },
    "registration": {"commercial_only?": (bool,)},
    "territory": {
        "excluded": (list,),
        "measured_by": (str,),
        "only_modality?": (str,),
    },
    "acceptable_use": {
        "by_reference": (bool,),
        "url?": (str,),
        "prohibited_domains?": (list,),
        "review_domains?": (list,),
    },
    "output_training": {
        "forbids": (str,),
        "spares?": (list,),
    },
    "output_use": {"limit": (str,)},
    # What is owed when copies or services go out.
    "licence_copy": {},
    "notice_file": {"text": (str,), "only_if_shipped?": (bool,), "except_hosted?": (bool,)},
    "retain_notices": {},
    "changed_files": {},
    "badge": {
        "any_of": (list,),
        "when": (str,),
        "only_models_named?": (str,),
        "commercial_only?": (bool,),
    },
    "model_name": {"prefix": (str,), "outputs_too?": (bool,)},
    "share_alike": {
        "strength": (str,),
        "network?": (bool,),
        "source?": (bool,),
        "also_under?": (list,),
    },
    "no_derivatives": {"sharing_only": (bool,)},
    "no_redistribution": {},
    "pass_through": {"what": (str,)},
    "hosting_counts": {},
    "citation": {"text?": (str,)},
    "documentation": {},
    # How far it reaches.
    "output_reach": {"output_trained_is_derivative": (bool,)},
    # Worth knowing: no machine can say whether it is kept, and nothing is due today.
    "unilateral_update": {},
    "special_purpose": {},
    "separate_components": {},
    "indemnity": {},
    "trade_controls": {},
    "latest_version": {},
    "remote_restriction": {},
    "revocable": {},
    "deletion": {},
    "governing_law": {"law": (str,)},
    "trademark": {},
    "licensee": {"affiliates": (bool,)},
    "legal_age": {},
}
CHOICES: dict[str, frozenset[str]] = {
    "guardrail.substitute": frozenset({"not_allowed", "substantially_similar"}),
    "litigation.against": frozenset({"anyone", "licensor"}),
    "litigation.ends": frozenset({"all", "patent_only"}),
    "litigation.reach": frozenset({"named_model", "whole_licence"}),
    "litigation.carve_out": frozenset({"none", "responsive_suit"}),
    "badge.when": frozenset({"made_available", "derived_and_made_available"}),
    # "ask": leave is needed above; "end": the licence ends above; "badge": words are owed above.
    "user_threshold.effect": frozenset({"ask", "end", "badge"}),
    "revenue_threshold.effect": frozenset({"ask", "end", "badge"}),
    "revenue_threshold.period": frozenset({"year", "month"}),
    # Where the licensee sits, or where the model is used.
    "territory.measured_by": frozenset({"licensee_home", "use"}),
    "output_training.forbids": frozenset({"language_models", "any_model", "competing_models"}),
    "output_use.limit": frozenset({"noncommercial", "research", "acceptable_use"}),
    # Of the whole work, of changed files only, or under terms at least as strict.
    "share_alike.strength": frozenset({"whole_work", "changed_files", "same_terms"}),
    "pass_through.what": frozenset({"use_restrictions", "whole_agreement"}),
}
RIGHTS = frozenset({"patent", "copyright", "any"})
ROLES = frozenset({"licence", "policy", "addendum", "dataset_licence"})
STATUSES = frozenset({"read", "second_hand", "unverified"})
# A licence with one of these loses something when a derivative is relabelled as plain MIT.
RESTRICTING_KINDS = frozenset(
    {
        "guardrail",
        "noncommercial",
        "research_only",
        "nonproduction",
        "authorisation",
        "user_threshold",
        "revenue_threshold",
        "territory",
        "acceptable_use",
        "output_training",
        "output_use",
        "badge",
        "model_name",
        "share_alike",
        "no_derivatives",
        "no_redistribution",
        "pass_through",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """Hold one clause of one licence version; `quote` is exact, `params` depend on the kind."""

    licence: str
    id: str
    kind: str
    section: str
    quote: str
    trigger: str
    actor: str
    scope: str
    effect: str
    qualifier: str | None
    cure: str | None
    evidence_needed: tuple[str, ...]
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LitigationTerms:
    """Spell out a litigation clause.

    `rights` holds "patent", "copyright" or "any"; `against` is "anyone" or "licensor"; `ends` is
    "all" or "patent_only"; `reach` says whether only the named model or the whole licence ends;
    `carve_out` "responsive_suit" spares a suit that answers one brought first.
    """

    rights: frozenset[str]
    against: str
    counterclaims: bool
    outputs: bool
    ends: str
    reach: str
    carve_out: str
    threats: bool


def litigation_terms(clause: Clause) -> LitigationTerms:
    """Read the litigation fields of a checked clause."""
    params = clause.params
    return LitigationTerms(
        rights=frozenset(params["rights"]),
        against=params["against"],
        counterclaims=params["counterclaims"],
        outputs=params["outputs"],
        ends=params["ends"],
        reach=params["reach"],
        carve_out=params["carve_out"],
        threats=bool(params.get("threats", False)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceVersion:
    """Hold one dated licence text as the catalogue knows it.

    `role` says what the paper is: a use policy or an addendum is no licence by itself, but binds
    with the licence that `incorporates` it. `publishers` are the hub names of the licensor, who
    alone may publish the same work under other terms. `prose` are the names by which texts and
    cards speak of it ("Llama 3.1 Community License"). `advice` are sentences of its models' cards
    that ask for something and are no term. `text_sha256` lists the digests of its known copies
    (see `text.text_digest`); empty when no copy is at hand. `links` name exactly this version;
    `unversioned_links` show whichever version
    is current, so they name the family only.
    """

    key: str
    title: str
    version: str | None
    date: datetime.date | None
    family: str
    licensor: str
    spdx: str | None
    licence_ids: tuple[str, ...]
    licence_names: tuple[str, ...]
    links: tuple[str, ...]
    unversioned_links: tuple[str, ...]
    text_sha256: tuple[str, ...]
    text_sketch: tuple[bytes, ...]
    role: str
    incorporates: tuple[str, ...]
    publishers: tuple[str, ...]
    prose: tuple[str, ...]
    advice: tuple[str, ...]
    status: str
    source: str
    date_read: datetime.date
    reviewed_by: str | None
    note: str | None
    clauses: tuple[Clause, ...]

    def clauses_of(self, kind: str) -> tuple[Clause, ...]:
        """List this version's clauses of one kind."""
        return tuple(clause for clause in self.clauses if clause.kind == kind)

    @property
    def restricts(self) -> bool:
        """Say whether the text limits use or can end all rights."""
        return any(
            clause.kind in RESTRICTING_KINDS or clause.params.get("ends") == "all"
            for clause in self.clauses
        )


@dataclass(frozen=True)
class Library:
    """Hold the checked catalogue; `digest` changes with any byte of meaning in it."""

    licences: Mapping[str, LicenceVersion]
    digest: str

    def get(self, key: str) -> LicenceVersion | None:
        """Find a licence version by catalogue key."""
        return self.licences.get(key)

    def declared_by_id(self, value: str) -> tuple[LicenceVersion, ...]:
        """List the versions that a model card's `license` may mean."""
        return self._index["licence_ids"].get(value.strip().casefold(), ())

    def declared_by_name(self, value: str) -> tuple[LicenceVersion, ...]:
        """List the versions that a model card's `license_name` may mean."""
        return self._index["licence_names"].get(value.strip().casefold(), ())

    def declared_by_link(self, value: str) -> tuple[LicenceVersion, ...]:
        """List the versions that a link may show; one when the link is versioned."""
        wanted = normalise_link(value)
        exact = self._index["links"].get(wanted)
        return exact or self._index["unversioned_links"].get(wanted, ())

    @cached_property
    def _index(self) -> dict[str, dict[str, tuple[LicenceVersion, ...]]]:
        """Map each spelling to the versions it may mean, in the order of their keys."""
        found: dict[str, dict[str, tuple[LicenceVersion, ...]]] = {}
        for field in ("licence_ids", "licence_names", "links", "unversioned_links"):
            told: dict[str, dict[str, LicenceVersion]] = {}
            for key, licence in self.licences.items():
                # A catalogue key names its licence wherever a card may name one.
                named = (key,) if field.startswith("licence_") else ()
                for spelling in (*getattr(licence, field), *named):
                    told.setdefault(spelling, {})[key] = licence
            found[field] = {spelled: tuple(held.values()) for spelled, held in told.items()}
        return found


def normalise_link(value: str) -> str:
    """Reduce a link to what tells pages apart: no scheme, no www, no query, no closing slash."""
    link = value.strip().casefold().split("#")[0].split("?")[0]
    link = link.removeprefix("https://").removeprefix("http://").removeprefix("www.")
    return link.rstrip("/")
