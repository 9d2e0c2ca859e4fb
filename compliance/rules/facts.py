"""The frozen inputs of a judgement: models, use, matters, waivers and the date.

Owns the shapes and their canonical form; knows nothing about licences, files or the clock.
Callers build these from a scenario file or from the database; the rules read nothing else.
Unknown is always spelled `None` or an absent record, and never means "no".
"""

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from typing import Any

RELATIONS = frozenset(
    {"finetune", "adapter", "merge", "quantized", "distilled", "pruned", "continued_pretrain"}
)
PURPOSES = frozenset(
    {"internal", "hosted_service", "redistribution", "research", "training_other_models"}
)
MATTER_KINDS = frozenset({"patent", "copyright", "trademark", "trade_secret", "other"})
MATTER_STATUSES = frozenset({"draft", "threatened", "filed", "withdrawn", "closed"})
DATASET_USES = frozenset({"training", "evaluation", "distillation", "other"})
EVIDENCE_METHODS = frozenset({"measured", "attested"})
EVIDENCE_RESULTS: dict[str, frozenset[str]] = {
    "guardrail_retention": frozenset({"retained", "reduced", "removed", "replaced", "unknown"}),
    "weight_comparison": frozenset(
        {
            "identical",
            "recast",
            "quantized",
            "adapter_merge",
            "dense_finetune",
            "directional_ablation",
            "merge",
            "pruned",
            "resized_vocabulary",
            "unrelated",
            "inconclusive",
        }
    ),
    "file_comparison": frozenset({"unchanged", "changed", "weakened"}),
    "safety_mechanism": frozenset({"present", "missing", "unknown"}),
    "acceptable_use": frozenset({"confirmed", "violated", "unknown"}),
    "badge_shown": frozenset({"confirmed", "missing", "unknown"}),
    "changes_stated": frozenset({"confirmed", "missing", "unknown"}),
    "licensor_permission": frozenset({"granted", "refused", "unknown"}),
    "registered": frozenset({"confirmed", "missing", "unknown"}),
    "terms_passed_on": frozenset({"confirmed", "missing", "unknown"}),
    "source_offered": frozenset({"confirmed", "missing", "unknown"}),
    "documentation_kept": frozenset({"confirmed", "missing", "unknown"}),
    "cited": frozenset({"confirmed", "missing", "unknown"}),
}
STATEMENT_SOURCES = frozenset({"card", "gate", "notice"})
BROUGHT_BY = frozenset({"organisation", "affiliate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceText:
    """Hold one licence file as found: its path, its text and the sha256 hex of its raw bytes.

    `text` is None when the file is named but could not be read; "" is a file of 0 bytes.
    Both leave the licence unresolved.
    """

    path: str
    text: str | None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Hold prose about licences that came with a model: its card's body, its gate, a notice."""

    source: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentLink:
    """Name one parent of a model and how the child came from it (one of RELATIONS)."""

    id: str
    relation: str = "finetune"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFact:
    """Name one dataset, its declared licence and what it was used for (one of DATASET_USES)."""

    id: str
    license: str | None = None
    use: str = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFact:
    """State one piece of evidence about a model.

    `method` "measured" means that somebody ran a test or compared files; "attested" means that
    somebody says so. `reference` points at the record (an id, a path, a URL).
    """

    kind: str
    result: str
    method: str = "attested"
    reference: str = ""
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """State what is declared and known about one model; `id` is unique within the facts.

    `license_pin` is a catalogue key that a legal reviewer chose for this model. `modalities` are
    what it takes in ("text", "image"); empty when nobody said. `publisher` is the hub name it was
    published under, None for the part of `id` before the slash, "" when nobody vouches for it.
    """

    id: str
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    license_pin: str | None = None
    licence_texts: tuple[LicenceText, ...] = ()
    statements: tuple[Statement, ...] = ()
    modalities: tuple[str, ...] = ()
    publisher: str | None = None
    parents: tuple[ParentLink, ...] = ()
    datasets: tuple[DatasetFact, ...] = ()
    distributed_files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    evidence: tuple[EvidenceFact, ...] = ()

    @property
    def published_by(self) -> str:
        """Name the publisher, casefolded; "" when unknown."""
        told = self.publisher
        if told is None:
            told = self.id.split("/")[0] if "/" in self.id else ""
        return told.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Describe the intended use; None means that nobody has said.

    `monthly_active_users` counts people over the organisation and its affiliates;
    `annual_revenue_usd` and `monthly_revenue_usd` (its best month) are in US dollars.
    `past_monthly_active_users` are (month as YYYY-MM, people), since some texts count the users of
    one past month. `licensee_home` is the country of the principal place of business (ISO 3166).
    """

    purposes: tuple[str, ...] = ()
    commercial: bool | None = None
    monthly_active_users: int | None = None
    annual_revenue_usd: int | None = None
    monthly_revenue_usd: int | None = None
    past_monthly_active_users: tuple[tuple[str, int], ...] = ()
    licensee_home: str | None = None
    jurisdictions: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """State one litigation matter brought by this organisation (or its corporate group).

    `in_response` is True when the suit answers a corresponding suit first brought against it,
    None when nobody has said. `brought_by` says whether it is the organisation's own or that of an
    affiliate; `defendants` are the names of those it is brought against, empty when nobody said.
    """

    id: str
    kind: str
    status: str
    filed_on: date | None = None
    withdrawn_on: date | None = None
    in_response: bool | None = None
    alleges_model_infringes: tuple[str, ...] = ()
    alleges_output_infringes: tuple[str, ...] = ()
    brought_by: str = "organisation"
    defendants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Record that a named person accepted one unmet or unclear finding, until a date.

    Matches findings by rule, licence and model; "*" matches any licence or model. A waiver never
    touches a termination: a right that ended is the licensor's to give back.
    """

    id: str
    rule: str
    licence: str = "*"
    model: str = "*"
    reason: str = ""
    granted_by: str = ""
    expires_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Gather everything one judgement looks at; `as_of` stands in for the clock.

    Law: the order of models and matters changes neither the judgement nor the digest.
    """

    models: tuple[ModelFacts, ...]
    subject: str
    as_of: date
    use: Use = field(default_factory=Use)
    matters: tuple[Matter, ...] = ()
    waivers: tuple[Waiver, ...] = ()

    def model(self, model_id: str) -> ModelFacts | None:
        """Find a model by id, or None when nothing is known about it."""
        return next((model for model in self.models if model.id == model_id), None)


def canonical_json(value: Any) -> bytes:
    """Write JSON with sorted keys, no spaces and UTF-8: same value, same bytes."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain
    )
    return text.encode("utf-8")


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no canonical form; give a string or a number")


def facts_document(facts: Facts) -> dict[str, Any]:
    """Turn facts into plain data in which the order of input no longer shows."""
    document: dict[str, Any] = _plain_fields(facts)
    for name in ("models", "matters", "waivers"):
        document[name] = sorted(document[name], key=lambda item: str(item["id"]))
    for name in ("purposes", "jurisdictions", "domains"):
        document["use"][name] = sorted(document["use"][name])
    return document


_FIELDS: dict[type, tuple[str, ...]] = {}


def _plain_fields(value: Any) -> Any:
    """Turn dataclasses and tuples of them into dicts and lists.

    dataclasses.asdict copies every leaf deeply, which took a third of a judgement.
    """
    kind = type(value)
    names = _FIELDS.get(kind)
    if names is None:
        if kind is tuple:
            return [_plain_fields(item) for item in value] if value else []
        if not is_dataclass(kind):
            return value
        names = _FIELDS[kind] = tuple(one.name for one in fields(kind))
    found = {}
    for name in names:
        item = getattr(value, name)
        held = type(item)
        found[name] = item if held is str or item is None else _plain_fields(item)
    return found


def facts_digest(facts: Facts) -> str:
    """Digest the facts as "sha256:<hex>"; reviews are bound to it."""
    return "sha256:" + hashlib.sha256(canonical_json(facts_document(facts))).hexdigest()
