"""What pointers, gates and pins settle, and what they leave open."""

from compliance.rules.evaluate import evaluate
from compliance.rules.expressions import MAX_CHOICES, Expression, read_expression
from compliance.rules.facts import EvidenceFact, LicenceText, ModelFacts, Statement, Use
from compliance.rules.identify import Resolved, resolve
from compliance.rules.library import bundled_library
from tests.compliance.build_facts import make_facts
from tests.compliance.build_texts import synthetic_library, synthetic_text

LIBRARY = bundled_library()
HOUSE = synthetic_library("llama-3.1", "llama-3.2", "mit", "apache-2.0")
POINTER = "GOVERNING TERMS: Use of this model is governed by the Llama 3.1 Community License."


def point(text: str, **declared: str) -> Resolved:
    texts = (LicenceText(path="LICENSE", text=text),)
    return resolve(ModelFacts(id="a/b", licence_texts=texts, **declared), LIBRARY)  # type: ignore[arg-type]


def read(value: str) -> Expression:
    found = read_expression(value, LIBRARY)
    assert found is not None
    return found


def keys(resolved: Resolved) -> list[str]:
    return [one.key for one in resolved.licences]


def codes(resolved: Resolved) -> list[str]:
    return [one.code for one in resolved.problems]


def test_a_pointer_alone_declares_what_it_names() -> None:
    resolved = point(POINTER)

    assert (resolved.how, keys(resolved), codes(resolved)) == ("declared", ["llama-3.1"], [])


def test_a_pointer_that_agrees_with_the_card_settles_it() -> None:
    resolved = point(POINTER, license="llama3.1")

    assert (resolved.how, keys(resolved), codes(resolved)) == ("declared", ["llama-3.1"], [])


def test_a_pointer_against_the_card_leaves_both_open_and_names_the_file() -> None:
    resolved = point(POINTER, license="apache-2.0")

    assert resolved.how == "candidates"
    assert set(keys(resolved)) == {"llama-3.1", "apache-2.0"}
    assert codes(resolved) == ["text_contradicts_card"]
    assert "LICENSE points to it" in resolved.problems[0].because


def test_a_pointer_that_sets_a_term_of_its_own_is_a_text_nobody_has_read() -> None:
    resolved = point(f"{POINTER} Commercial use must be reported to us.", license="llama3.1")

    assert "text_unknown" in codes(resolved)


def gated(text: str, **declared: str) -> Resolved:
    statements = (Statement(source="gate", text=text),)
    return resolve(ModelFacts(id="a/b", statements=statements, **declared), HOUSE)  # type: ignore[arg-type]


def test_a_gate_that_repeats_a_licence_is_its_text_where_nothing_else_is_said() -> None:
    resolved = gated(synthetic_text("llama-3.2"))

    assert (resolved.how, keys(resolved)) == ("exact_text", ["llama-3.2"])


def test_a_gate_of_another_licence_does_not_replace_what_the_card_says() -> None:
    resolved = gated(synthetic_text("llama-3.2"), license="mit")

    assert "mit" in keys(resolved)
    assert resolved.how != "exact_text"


def pinned(*, card: str, text: str, pin: str) -> Resolved:
    texts = (LicenceText(path="LICENSE", text=synthetic_text(text)),)
    model = ModelFacts(id="a/b", license=card, licence_texts=texts, license_pin=pin)
    return resolve(model, HOUSE)


def test_the_other_offer_of_a_choice_may_lie_beside_the_pinned_one() -> None:
    resolved = pinned(card="mit OR apache-2.0", text="apache-2.0", pin="mit")

    assert (resolved.how, keys(resolved), codes(resolved)) == ("pinned", ["mit"], [])


def test_a_text_that_nobody_offered_contradicts_the_pin() -> None:
    resolved = pinned(card="mit", text="apache-2.0", pin="mit")

    assert set(keys(resolved)) == {"mit", "apache-2.0"}
    assert codes(resolved) == ["pin_contradicts_text"]


def test_exactly_as_many_choices_as_are_read_are_read() -> None:
    told = [f"a{at}" for at in range(MAX_CHOICES)]
    product = "(a OR b OR c OR d) AND (e OR f OR g OR h)"

    assert len(read(" OR ".join(told)).alternatives) == MAX_CHOICES
    assert len(read(product).alternatives) == MAX_CHOICES


def test_a_delicate_domain_that_a_reviewer_confirmed_is_met() -> None:
    licence = next(
        one
        for one in LIBRARY.licences.values()
        for clause in one.clauses_of("acceptable_use")
        if clause.params.get("review_domains") and not clause.params["by_reference"]
    )
    clause = next(
        one for one in licence.clauses_of("acceptable_use") if "review_domains" in one.params
    )
    domain = clause.params["review_domains"][0]

    def judged(*results: str) -> str:
        evidence = tuple(
            EvidenceFact(kind="acceptable_use", result=one, method="attested") for one in results
        )
        model = ModelFacts(id="a/b", license_pin=licence.key, evidence=evidence)
        facts = make_facts(model, use=Use(purposes=("research",), domains=(domain,)))
        found = evaluate(facts, LIBRARY).findings
        [one] = [
            one for one in found if one.rule == "acceptable_use" and one.section == clause.section
        ]
        return one.status

    assert judged() == "needs_review"
    assert judged("confirmed") == "met"
    assert judged("confirmed", "unknown") == "needs_review"
    assert judged("confirmed", "violated") == "violated"
