"""Make random scenarios that reach into every clause kind, every fate and every lawsuit.

Seeded: the same number gives the same scenario.
"""

from datetime import date, timedelta
from random import Random

from compliance.rules.catalogue import Library
from compliance.rules.facts import (
    EVIDENCE_RESULTS,
    MATTER_KINDS,
    MATTER_STATUSES,
    PURPOSES,
    RELATIONS,
    DatasetFact,
    EvidenceFact,
    Facts,
    LicenceText,
    Matter,
    ModelFacts,
    ParentLink,
    Use,
    Waiver,
)

DAY = date(2026, 11, 23)
PLACES = ("US", "DE", "FR", "EU", "GB", "UK", "KR", "JP", "DE-BY", "CN")
DOMAINS = ("customer_support", "military", "surveillance", "Weapons", "medical", "fraud")
NUMBERS = (0, 1000, 1_000_000, 1_000_001, 20_000_000, 20_000_001, 100_000_000, 100_000_001)
LARGE = (700_000_000, 700_000_001, 10**9)
NOTICES = ("Copyright the makers", "Built with Llama", "Built with Qwen", "Kimi K2")
FILES = ("LICENSE", "NOTICE", "README.md", "weights/LICENCE.txt")


class Maker:
    """Draw scenarios from one catalogue."""

    def __init__(self, library: Library) -> None:
        self.library = library
        every = list(library.licences.values())
        self.pins = sorted(one.key for one in every if one.role == "licence")
        self.ids = sorted({name for one in every for name in one.licence_ids})
        self.names = sorted({name for one in every for name in one.licence_names})
        self.links = sorted({link for one in every for link in one.links + one.unversioned_links})
        self.publishers = sorted({name for one in every for name in one.publishers})
        self.licensors = sorted({one.licensor for one in every})
        self.texts = sorted(
            str(clause.params["text"])
            for one in every
            for clause in one.clauses
            if clause.kind == "notice_file"
        )
        self.domains = sorted(
            {
                str(name)
                for one in every
                for clause in one.clauses_of("acceptable_use")
                for name in clause.params.get("prohibited_domains", ())
            }
        )

    def facts(self, seed: int) -> Facts:
        """Make the scenario of one seed."""
        draw = Random(seed)
        count = draw.choice((1, 1, 2, 2, 2, 3, 3, 4, 5, 8))
        names = self._names(draw, count)
        few = [draw.choice(self.pins) for _ in range(draw.choice((1, 2, 3)))]
        models = tuple(self._model(draw, at, names, few) for at in range(count))
        matters = tuple(
            self._matter(draw, f"m{at}", names) for at in range(draw.choice((0, 0, 0, 1, 1, 2)))
        )
        return Facts(
            models=models,
            subject=names[0],
            as_of=DAY,
            use=self._use(draw),
            matters=matters,
            waivers=tuple(
                self._waiver(draw, f"w{at}", names, few) for at in range(draw.choice((0, 0, 0, 1)))
            ),
        )

    def _names(self, draw: Random, count: int) -> list[str]:
        found = []
        for at in range(count):
            owner = draw.choice(("acme", "acme", "other", draw.choice(self.publishers)))
            name = draw.choice(("model", "Llama-x", "EXAONE-x", "Cosmos-x", "Llama 3-x"))
            found.append(f"{owner}/{name}-{at}")
        return found

    def _model(self, draw: Random, at: int, names: list[str], few: list[str]) -> ModelFacts:
        licence, name, link, pin = self._declares(draw, few)
        return ModelFacts(
            id=names[at],
            license=licence,
            license_name=name,
            license_link=link,
            license_pin=pin,
            licence_texts=self._text(draw),
            modalities=draw.choice(((), ("text",), ("text", "image"))),
            publisher=draw.choice(
                (None, None, None, None, "", "acme", draw.choice(self.publishers))
            ),
            parents=self._parents(draw, at, names),
            datasets=tuple(
                DatasetFact(
                    id=f"org/data-{at}",
                    license=draw.choice((None, "mit", "cc-by-nc-4.0", "strange", "cc-by-4.0")),
                    use=draw.choice(("training", "evaluation", "distillation", "other")),
                )
                for _ in range(draw.choice((0, 0, 0, 0, 1)))
            ),
            distributed_files=tuple(draw.sample(FILES, draw.choice((0, 0, 1, 2)))),
            notices=tuple(
                draw.choice((*NOTICES, draw.choice(self.texts)))
                for _ in range(draw.choice((0, 0, 1, 2)))
            ),
            evidence=tuple(self._evidence(draw) for _ in range(draw.choice((0, 0, 1, 2, 4)))),
        )

    def _declares(
        self, draw: Random, few: list[str]
    ) -> tuple[str | None, str | None, str | None, str | None]:
        shape = draw.random()
        if shape < 0.6:
            return None, None, None, draw.choice((*few, *few, *few, draw.choice(self.pins)))
        if shape < 0.72:
            return draw.choice(self.ids), None, None, None
        if shape < 0.84:
            return "other", draw.choice(self.names), None, None
        if shape < 0.88:
            return "other", None, "https://" + draw.choice(self.links), None
        if shape < 0.90:
            return draw.choice(self.ids), draw.choice(self.names), None, None
        if shape < 0.92:
            return draw.choice(("mit", None)), None, None, "no-such-text"
        return draw.choice(("strange", "other", None)), draw.choice((None, "house")), None, None

    def _text(self, draw: Random) -> tuple[LicenceText, ...]:
        shape = draw.random()
        if shape < 0.95:
            return ()
        said = draw.choice((None, "", "You may do as you like with it, and so may we."))
        return (LicenceText(path="LICENSE", text=said),)

    def _parents(self, draw: Random, at: int, names: list[str]) -> tuple[ParentLink, ...]:
        later = names[at + 1 :]
        chosen = draw.sample(later, min(len(later), draw.choice((1, 1, 1, 2, 3))))
        if draw.random() < 0.04:
            chosen.append(draw.choice(names))
        if draw.random() < 0.06:
            chosen.append("gone/away")
        return tuple(
            ParentLink(id=name, relation=draw.choice(sorted(RELATIONS)))
            for name in dict.fromkeys(chosen)
        )

    def _evidence(self, draw: Random) -> EvidenceFact:
        kinds = sorted(EVIDENCE_RESULTS)
        kind = draw.choice((*kinds, *["guardrail_retention"] * 6, *["acceptable_use"] * 3))
        return EvidenceFact(
            kind=kind,
            result=draw.choice(sorted(EVIDENCE_RESULTS[kind])),
            method=draw.choice(("measured", "attested")),
        )

    def _use(self, draw: Random) -> Use:
        def maybe(value: int) -> int | None:
            return draw.choice((value, value, value, None))

        return Use(
            purposes=tuple(draw.sample(sorted(PURPOSES), draw.choice((0, 1, 1, 1, 2)))),
            commercial=draw.choice((True, True, False, False, None)),
            monthly_active_users=maybe(draw.choice((*NUMBERS, *LARGE))),
            annual_revenue_usd=maybe(draw.choice(NUMBERS)),
            monthly_revenue_usd=maybe(draw.choice(NUMBERS)),
            past_monthly_active_users=tuple(
                (month, draw.choice((*NUMBERS, *LARGE)))
                for month in draw.sample(("2024-06", "2023-06", "2025-10"), draw.choice((0, 0, 1)))
            ),
            licensee_home=draw.choice((None, *PLACES)),
            jurisdictions=tuple(draw.sample(PLACES, draw.choice((0, 1, 1, 2)))),
            domains=tuple(
                draw.sample((*DOMAINS, draw.choice(self.domains)), draw.choice((0, 1, 1, 2)))
            ),
        )

    def _matter(self, draw: Random, name: str, names: list[str]) -> Matter:
        def alleged(most: int) -> tuple[str, ...]:
            return tuple(draw.sample((*names, "gone/away"), min(most, len(names))))

        return Matter(
            id=name,
            kind=draw.choice((*sorted(MATTER_KINDS), "patent", "patent", "copyright")),
            status=draw.choice((*sorted(MATTER_STATUSES), "filed", "filed")),
            filed_on=draw.choice((DAY - timedelta(9), DAY, DAY + timedelta(1), None)),
            in_response=draw.choice((None, True, False)),
            alleges_model_infringes=alleged(draw.choice((0, 1, 1, 2))),
            alleges_output_infringes=alleged(draw.choice((0, 0, 1))),
            brought_by=draw.choice(("organisation", "organisation", "affiliate")),
            defendants=tuple(
                draw.sample(("Somebody", draw.choice(self.licensors)), draw.choice((0, 1, 2)))
            ),
        )

    def _waiver(self, draw: Random, name: str, names: list[str], few: list[str]) -> Waiver:
        rules = ("guardrail", "acceptable_use", "licence_copy", "litigation", "user_threshold")
        rule = draw.choice((*rules, "version_unresolved", "licence_unknown", "relabelled"))
        licence = draw.choice(("*", "*", draw.choice(few)))
        return Waiver(
            id=name,
            rule=rule,
            # Which of several open versions is named in that question proves nothing.
            licence="*" if rule == "version_unresolved" else licence,
            model=draw.choice(("*", "*", draw.choice(names))),
            reason="accepted",
            granted_by="Ada",
            expires_on=draw.choice((None, DAY, DAY - timedelta(1))),
        )
