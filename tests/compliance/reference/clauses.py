"""One naive reading of each clause kind: (world, model, licence, clause) -> statuses.

Written from the parameters of `CLAUSE_KINDS` and from the texts they stand for.
"""

from collections.abc import Callable, Iterable

from compliance.rules.catalogue import Clause, LicenceVersion
from tests.compliance.reference.world import World

UNION = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE"
MEMBERS = frozenset(UNION.split(" "))
ALSO_CALLED = {"UK": "GB", "EL": "GR"}
FINE = "fine"  # met or not applicable: nothing is asked
Reader = Callable[[World, str, LicenceVersion, Clause], str | set[str]]


def fine(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    return FINE


def confirmed(world: World, kind: str) -> bool:
    """Say whether all that is said of it is that it was done."""
    return world.results(kind) == {"confirmed"}


# -- what the use may be -------------------------------------------------------------------


def noncommercial(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if world.leave():
        return FINE
    return {True: "violated", None: "needs_review", False: FINE}[world.facts.use.commercial]


def research_only(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    use = world.facts.use
    if world.leave():
        return FINE
    if use.commercial or set(use.purposes) & set(clause.params.get("excludes", ())):
        return "violated"
    if use.commercial is None or "research" not in use.purposes:
        return "needs_review"
    return FINE if set(use.purposes) <= {"research", "redistribution"} else "needs_review"


def nonproduction(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    purposes = set(world.facts.use.purposes)
    if world.leave() or purposes == {"research"}:
        return FINE
    return "violated" if "hosted_service" in purposes else "needs_review"


def commerce(world: World, clause: Clause, status: str) -> str:
    """Apply a duty of commercial users only to them."""
    if not clause.params.get("commercial_only"):
        return status
    return {True: status, None: "needs_review", False: FINE}[world.facts.use.commercial]


def authorisation(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    return commerce(world, clause, FINE if world.leave() else "violated")


def registration(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    return commerce(world, clause, FINE if confirmed(world, "registered") else "unmet")


def threshold(world: World, clause: Clause, above: bool | None) -> str:
    use = world.facts.use
    if clause.params.get("commercial_only") and use.commercial is False:
        return FINE
    if above is False:
        return FINE
    if above is None:
        return "needs_review"
    if clause.params.get("commercial_only") and use.commercial is None:
        return "needs_review"
    if world.leave() and clause.params.get("effect") != "badge":
        return FINE
    if clause.params.get("effect") == "badge":
        return shown(world, [clause.params["badge"]]) if world.others_get_it() else FINE
    return "violated"


def month_before(day: str) -> str:
    year, month = (int(part) for part in day.split("-")[:2])
    return f"{year - 1}-12" if month == 1 else f"{year}-{month - 1:02d}"


def user_threshold(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    use = world.facts.use
    users = use.monthly_active_users
    if "counted_on" in clause.params:
        users = dict(use.past_monthly_active_users).get(
            month_before(clause.params["counted_on"]), users
        )
    return threshold(world, clause, None if users is None else users > clause.params["limit"])


def revenue_threshold(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    use = world.facts.use
    limit = clause.params["limit_usd"]
    if clause.params.get("period", "year") == "year":
        money = use.annual_revenue_usd
        return threshold(world, clause, None if money is None else money > limit)
    if use.monthly_revenue_usd is not None:
        return threshold(world, clause, use.monthly_revenue_usd > limit)
    # A year at or below one month's limit holds no month above it.
    small = use.annual_revenue_usd is not None and use.annual_revenue_usd <= limit
    return threshold(world, clause, False if small else None)


def spell(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        code = name.strip().upper().split("-")[0]
        code = ALSO_CALLED.get(code, code)
        found |= MEMBERS if code == "EU" else {code}
    return found


def territory(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    use = world.facts.use
    out = spell(clause.params["excluded"])
    places = spell(use.jurisdictions)
    if clause.params["measured_by"] == "licensee_home":
        home = spell([use.licensee_home]) if use.licensee_home else set()
        if home:
            status = "violated" if home & out else FINE
        else:
            status = FINE if places and not places & out else "needs_review"
    elif places:
        status = "violated" if places & out else FINE
    else:
        status = "needs_review"
    only = clause.params.get("only_modality")
    if only is None or status == FINE:
        return status
    taken = world.models[model].modalities
    if not taken:
        return "needs_review"
    return status if only in taken else FINE


def domain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def acceptable_use(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    owner = world.library.licences[clause.licence]
    if clause.params["by_reference"] and owner.incorporates:
        return FINE
    results = world.results("acceptable_use")
    stated = {domain(one) for one in world.facts.use.domains}
    forbidden = stated & {domain(one) for one in clause.params.get("prohibited_domains", ())}
    open_ = stated & {domain(one) for one in clause.params.get("review_domains", ())}
    if "violated" in results:
        return "violated"
    if forbidden:
        read = owner.status == "read" and not clause.params["by_reference"]
        return "violated" if read else "needs_review"
    if confirmed(world, "acceptable_use"):
        return FINE
    return "needs_review" if open_ else "unmet"


# -- outputs -------------------------------------------------------------------------------


def output_training(world: World, model: str, licence: LicenceVersion, clause: Clause) -> set[str]:
    purposes = world.facts.use.purposes
    asked = set()
    if "training_other_models" in purposes and not world.leave():
        competing = clause.params["forbids"] == "competing_models"
        asked.add("needs_review" if competing else "violated")
    if not purposes or taught(world, licence, clause):
        asked.add("needs_review")
    return asked or {FINE}


def taught(world: World, licence: LicenceVersion, clause: Clause) -> bool:
    """Say whether the lineage holds a student of this text under terms it does not spare."""
    spared = {*clause.params.get("spares", ()), licence.key}
    return any(
        relation == "distilled"
        and world.carries(parent, licence.key)
        and not any(world.carries(child, key) for key in spared)
        for child, parent, relation in world.steps()
    )


def output_use(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    use = world.facts.use
    if clause.params["limit"] == "acceptable_use" or world.leave():
        return FINE
    if use.commercial:
        return "violated"
    if use.commercial is None:
        return "needs_review"
    if clause.params["limit"] == "research":
        return FINE if "research" in use.purposes else "needs_review"
    return FINE


def output_reach(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if clause.params["output_trained_is_derivative"]:
        return FINE
    taught_here = any(
        parent == model and relation == "distilled" for _, parent, relation in world.steps()
    )
    return "needs_review" if taught_here else FINE


# -- duties --------------------------------------------------------------------------------


def shipped(world: World, *prefixes: str) -> bool:
    names = [one.replace("\\", "/").split("/")[-1] for one in world.subject.distributed_files]
    return any(one.casefold().startswith(prefixes) for one in names)


def licence_copy(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not world.goes_out(licence) or shipped(world, "license", "licence", "copying"):
        return FINE
    return "unmet"


def notice_file(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    out = world.copies_go_out() if clause.params.get("except_hosted") else world.goes_out(licence)
    if not out:
        return FINE
    if clause.params.get("only_if_shipped") and not ships_notice(world, model):
        return FINE
    wanted = " ".join(clause.params["text"].split())
    told = any(wanted in " ".join(one.split()) for one in world.subject.notices)
    return FINE if told and shipped(world, "notice") else "unmet"


def ships_notice(world: World, model: str) -> bool:
    carrier = world.models[model]
    paths = (*(text.path for text in carrier.licence_texts), *carrier.distributed_files)
    return any(path.split("/")[-1].casefold().startswith("notice") for path in paths)


def retain_notices(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    kept = world.subject.notices or shipped(world, "notice")
    return "unmet" if world.goes_out(licence) and not kept else FINE


def derived(world: World, model: str, licence: LicenceVersion) -> bool:
    return model != world.facts.subject or world.made_from(licence.key)


def changed_files(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not world.goes_out(licence) or not derived(world, model, licence):
        return FINE
    return FINE if confirmed(world, "changes_stated") else "unmet"


def shown(world: World, words: list[str]) -> str:
    results = world.results("badge_shown")
    told = any(word in notice for word in words for notice in world.subject.notices)
    if results == {"confirmed"} or (told and "missing" not in results):
        return FINE
    return "unmet"


def badge(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not world.others_get_it():
        return FINE
    if clause.params.get("commercial_only") and world.facts.use.commercial is False:
        return FINE
    makes = derived(world, model, licence) or "training_other_models" in world.facts.use.purposes
    if clause.params["when"] == "derived_and_made_available" and not makes:
        return FINE
    word = clause.params.get("only_models_named")
    if word and word.casefold() not in model.casefold():
        return FINE
    return shown(world, clause.params["any_of"])


def model_name(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not world.others_get_it() or not derived(world, model, licence):
        return FINE
    name = world.facts.subject.split("/")[-1].casefold()
    return FINE if name.startswith(clause.params["prefix"].casefold()) else "unmet"


def reaches_others(world: World, licence: LicenceVersion, clause: Clause) -> bool:
    """Say whether a share-alike clause is triggered: by copies, for some also over a network."""
    hosted = clause.params.get("network") and "hosted_service" in world.facts.use.purposes
    return bool(hosted) or world.goes_out(licence)


def share_alike(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not reaches_others(world, licence, clause) or not derived(world, model, licence):
        return FINE
    allowed = {*clause.params.get("also_under", ())}
    mine = world.terms[world.facts.subject]
    same = any(one.key in allowed or one.family == licence.family for one in mine.licences)
    if not same:
        return "unmet"
    if clause.params.get("source") and not confirmed(world, "source_offered"):
        return "needs_review"
    return FINE


def no_derivatives(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not derived(world, model, licence) or world.leave():
        return FINE
    if clause.params["sharing_only"]:
        if not world.goes_out(licence):
            return FINE
        if not world.facts.use.purposes:
            return "needs_review"
    return "needs_review" if only_quantised(world, licence) else "violated"


def only_quantised(world: World, licence: LicenceVersion) -> bool:
    """Say whether all that came from works under this licence came by quantising."""
    return {
        relation
        for _, parent, relation in world.steps()
        if any(
            world.carries(name, licence.key) for name in world.ancestors(parent) & set(world.paths)
        )
    } == {"quantized"}


def no_redistribution(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if world.leave() or not world.goes_out(licence):
        return FINE
    return "violated" if world.facts.use.purposes else "needs_review"


def pass_through(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not world.goes_out(licence) or confirmed(world, "terms_passed_on"):
        return FINE
    return "unmet"


def documentation(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    if not world.goes_out(licence) or confirmed(world, "documentation_kept"):
        return FINE
    return "unmet"


def citation(world: World, model: str, licence: LicenceVersion, clause: Clause) -> str:
    publishes = world.copies_go_out() or "research" in world.facts.use.purposes
    return "unmet" if publishes and not confirmed(world, "cited") else FINE


READERS: dict[str, Reader] = {
    one.__name__: one
    for one in (
        noncommercial,
        research_only,
        nonproduction,
        authorisation,
        registration,
        user_threshold,
        revenue_threshold,
        territory,
        acceptable_use,
        output_training,
        output_use,
        output_reach,
        licence_copy,
        notice_file,
        retain_notices,
        changed_files,
        badge,
        model_name,
        share_alike,
        no_derivatives,
        no_redistribution,
        pass_through,
        documentation,
        citation,
    )
}
