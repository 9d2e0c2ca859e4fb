"""The shapes of a licence in the catalogue: versions, clauses, litigation terms.

Owns the vocabulary; reading the files is `library`, judging them is `clauses`.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLAUSE_KINDS: dict[str, dict[str, tuple[type, ...]]] = {
    # kind -> its parameters; a name that ends in "?" may be left out
    "guardrail": {"substitute": (str,), "acts": (list,)},
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
    "noncommercial": {},
    "user_threshold": {"limit": (int,), "commercial_only?": (bool,), "counted_on?": (str,)},
    "revenue_threshold": {"limit_usd": (int,), "commercial_only?": (bool,)},
    "acceptable_use": {
        "by_reference": (bool,),
        "url?": (str,),
        "prohibited_domains?": (list,),
        "review_domains?": (list,),
    },
    "licence_copy": {},
    "notice_file": {"text": (str,), "only_if_shipped?": (bool,)},
    "retain_notices": {},
    "changed_files": {},
    "badge": {"any_of": (list,), "when": (str,), "only_models_named?": (str,)},
    "model_name": {"prefix": (str,)},
    "output_reach": {"output_trained_is_derivative": (bool,)},
    "unilateral_update": {},
    "special_purpose": {},
    "separate_components": {},
    "indemnity": {},
    "trade_controls": {},
}
CHOICES: dict[str, frozenset[str]] = {
    "guardrail.substitute": frozenset({"not_allowed", "substantially_similar"}),
    "litigation.against": frozenset({"anyone", "licensor"}),
    "litigation.ends": frozenset({"all", "patent_only"}),
    "litigation.reach": frozenset({"named_model", "whole_licence"}),
    "litigation.carve_out": frozenset({"none", "responsive_suit"}),
    "badge.when": frozenset({"made_available", "derived_and_made_available"}),
}
RIGHTS = frozenset({"patent", "copyright", "any"})
STATUSES = frozenset({"read", "second_hand", "unverified"})
# A licence with one of these loses something when a derivative is relabelled as plain MIT.
RESTRICTING_KINDS = frozenset(
    {
        "guardrail",
        "noncommercial",
        "user_threshold",
        "revenue_threshold",
        "acceptable_use",
        "badge",
        "model_name",
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

    `text_sha256` lists the digests of its known copies (see `text.text_digest`); empty when no
    copy is at hand. `links` name exactly this version; `unversioned_links` show whichever version
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


@dataclass(frozen=True, slots=True)
class Library:
    """Hold the checked catalogue; `digest` changes with any byte of meaning in it."""

    licences: Mapping[str, LicenceVersion]
    digest: str

    def get(self, key: str) -> LicenceVersion | None:
        """Find a licence version by catalogue key."""
        return self.licences.get(key)

    def declared_by_id(self, value: str) -> tuple[LicenceVersion, ...]:
        """List the versions that a model card's `license` may mean."""
        wanted = value.strip().casefold()
        return self._where(lambda one: wanted in one.licence_ids or wanted == one.key)

    def declared_by_name(self, value: str) -> tuple[LicenceVersion, ...]:
        """List the versions that a model card's `license_name` may mean."""
        wanted = value.strip().casefold()
        return self._where(lambda one: wanted in one.licence_names or wanted == one.key)

    def declared_by_link(self, value: str) -> tuple[LicenceVersion, ...]:
        """List the versions that a link may show; one when the link is versioned."""
        wanted = normalise_link(value)
        exact = self._where(lambda one: wanted in one.links)
        return exact or self._where(lambda one: wanted in one.unversioned_links)

    def _where(self, test: Any) -> tuple[LicenceVersion, ...]:
        return tuple(one for one in self.licences.values() if test(one))


def normalise_link(value: str) -> str:
    """Reduce a link to what tells pages apart: no scheme, no www, no query, no closing slash."""
    link = value.strip().casefold().split("#")[0].split("?")[0]
    link = link.removeprefix("https://").removeprefix("http://").removeprefix("www.")
    return link.rstrip("/")
