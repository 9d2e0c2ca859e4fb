"""Say which licence is declared and which is concluded, and never more than is known.

Declared is what a card's own fields say, whether true or not. Concluded needs a person or a text:
a stored text that is the catalogue's word for word, or a version that a legal reviewer pinned. A
name on a card alone concludes nothing, and no answer (`None`) stands for NOASSERTION.
Source: SPDX 3.0.1, relationship types hasDeclaredLicense and hasConcludedLicense; CycloneDX 1.6,
licence acknowledgement.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from compliance.rules.assessment import Assessment
from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.expressions import Term, named_by_id, read_expression
from compliance.rules.facts import DatasetFact, ModelFacts

PROVED: Final = frozenset({"exact_text", "pinned"})
_NO_NAME: Final = frozenset({"", "other", "unknown"})
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/%-]*)?")
_MAX_SLUG_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """Name one licence: by its SPDX id, or by words and a reference of our own.

    `key` is the catalogue's, None where the name may mean several versions or none.
    """

    title: str
    reference: str
    spdx: str | None = None
    key: str | None = None
    link: str | None = None

    @property
    def symbol(self) -> str:
        """Give the name that may stand in an SPDX expression."""
        return self.spdx or self.reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Licensing:
    """Hold alternatives, each a list of names that all bind."""

    alternatives: tuple[tuple[Name, ...], ...]

    @property
    def names(self) -> tuple[Name, ...]:
        """List every name once."""
        return tuple(dict.fromkeys(one for group in self.alternatives for one in group))

    @property
    def is_choice(self) -> bool:
        """Tell whether the licensee may choose."""
        return len(self.alternatives) > 1

    @property
    def expression(self) -> str:
        """Write it as an SPDX licence expression."""
        groups = [" AND ".join(one.symbol for one in group) for group in self.alternatives]
        if not self.is_choice:
            return groups[0]
        return " OR ".join(f"({one})" if " AND " in one else one for one in groups)


def declared(model: ModelFacts | None, library: Library) -> Licensing | None:
    """Read what a model's card says of its licence; None when it says nothing."""
    if model is None:
        return None
    said = (model.license or "").strip()
    if said.casefold() in _NO_NAME:
        named = (model.license_name or "").strip() or (said if model.license_link else "")
        if not named:
            return None
        return Licensing(alternatives=((_by_name(named, model.license_link, library),),))
    return _by_id(said, library, model.license_link)


def declared_of_data(fact: DatasetFact, library: Library) -> Licensing | None:
    """Read what is said of a data set's licence; None when nothing is."""
    said = (fact.license or "").strip()
    return None if said.casefold() in _NO_NAME else _by_id(said, library, None)


def concluded(model: str, judged: Assessment, library: Library) -> Licensing | None:
    """Give the licences of one model that a text or a pin proves; None unless all are proved."""
    bound = [item for item in judged.binding_licences if item.model == model]
    if not bound or any(item.resolution not in PROVED for item in bound):
        return None
    found = [library.get(key) for key in dict.fromkeys(item.licence for item in bound)]
    if any(one is None for one in found):
        return None
    return Licensing(alternatives=(tuple(_version(one) for one in found if one is not None),))


def _by_id(said: str, library: Library, link: str | None) -> Licensing:
    expression = read_expression(said, library)
    if expression is None:
        return Licensing(alternatives=((_term(said, named_by_id(said, library), link),),))
    return Licensing(
        alternatives=tuple(_terms(group) for group in expression.alternatives),
    )


def _terms(group: Iterable[Term]) -> tuple[Name, ...]:
    return tuple(_term(one.name, one.versions, None) for one in group)


def _by_name(named: str, link: str | None, library: Library) -> Name:
    return _term(named, library.declared_by_name(named), link)


def _term(said: str, versions: tuple[LicenceVersion, ...], link: str | None) -> Name:
    """Name what was said; a name that several versions share is kept as it was written."""
    if len(versions) == 1:
        return _version(versions[0])
    told = link if link and _LINK.fullmatch(link) else None
    return Name(title=said, reference=reference_of(said), link=told)


def _version(licence: LicenceVersion) -> Name:
    version = f", {licence.version}" if licence.version else ""
    address = next(iter((*licence.links, *licence.unversioned_links)), None)
    link = f"https://{address}" if address else ""
    return Name(
        title=f"{licence.title}{version}",
        reference=f"LicenseRef-lictor-{_UNSAFE.sub('-', licence.key)}",
        spdx=licence.spdx,
        key=licence.key,
        link=link if _LINK.fullmatch(link) else None,
    )


def reference_of(said: str) -> str:
    """Make a LicenseRef of any words; other words give another reference.

    Source: SPDX 3.0.1 Annex B (idstring: letters, digits, "-" and ".").
    """
    slug = _UNSAFE.sub("-", said)[:_MAX_SLUG_CHARS].strip("-") or "unnamed"
    mark = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"LicenseRef-declared-{slug}-{mark}"
