"""Say what became of each mechanism of a base in a derived checkpoint. Pure.

`concern`: something that holds back is gone or weaker. `review`: it changed in a way that only a
person can judge. `harmless`: it means the same, or nothing was taken away.
"""

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final

from registry.artifact.mechanisms.shapes import (
    SEVERITIES,
    Change,
    Inventory,
    Mechanism,
    Severity,
    excerpt,
)
from registry.artifact.mechanisms.words import is_about_safety

# What it means that a mechanism of this kind is gone, is another, or is new.
_MEANING: Final[dict[str, tuple[Severity, Severity, Severity]]] = {
    "template_safety_text": ("concern", "concern", "harmless"),
    "system_prompt": ("review", "review", "review"),
    "control_token": ("concern", "concern", "harmless"),
    "tokenizer": ("review", "review", "harmless"),
    "generation_setting": ("concern", "concern", "review"),
    "end_token": ("review", "review", "harmless"),
    "guard_model": ("concern", "review", "harmless"),
    "rails": ("concern", "review", "harmless"),
    "filter": ("concern", "review", "harmless"),
    "remote_code": ("review", "review", "review"),
    "adapter": ("harmless", "review", "review"),
    "control_vector": ("harmless", "concern", "concern"),
    "card_section": ("review", "harmless", "harmless"),
    "card_evaluation": ("review", "harmless", "harmless"),
    "gate": ("review", "harmless", "harmless"),
    "telling_name": ("harmless", "concern", "concern"),
}


def compare_inventories(base: Inventory, derived: Inventory) -> list[Change]:
    """List what differs, the worst first. Law: two equal inventories give nothing.

    What could not be read on either side is a `review`: nobody knows what it says.
    """
    one, other = _by_key(base), _by_key(derived)
    found: list[Change] = []
    for key in sorted(one.keys() | other.keys()):
        found.extend(_changes(one.get(key), other.get(key)))
    found.extend(_unread(base, derived))
    return sorted(found, key=lambda item: (SEVERITIES.index(item.severity), item.kind, item.name))


def verdict_of(changes: list[Change]) -> str:
    """Sum up: "weakened" with a concern, "changed" with something to review, else "unchanged"."""
    severities = {change.severity for change in changes}
    if "concern" in severities:
        return "weakened"
    return "changed" if "review" in severities else "unchanged"


def _by_key(found: Inventory) -> dict[tuple[str, str], Mechanism]:
    return {one.key: one for one in reversed(found.mechanisms)}


def _changes(before: Mechanism | None, after: Mechanism | None) -> Iterator[Change]:
    known = before or after
    if known is None or (before and after and before.fingerprint == after.fingerprint):
        return
    if known.kind == "chat_template":
        yield _template(known, before, after)
    elif known.kind == "added_tokens":
        yield _tokens(known, before, after)
    else:
        yield _plain(known, before, after)


def _plain(known: Mechanism, before: Mechanism | None, after: Mechanism | None) -> Change:
    gone, other, new = _MEANING[known.kind]
    label = known.kind.replace("_", " ")
    if after is None:
        return _change(gone, known, before, after, f"The {label} is gone: {known.excerpt}")
    if before is None:
        return _change(new, known, before, after, f"New {label}: {known.excerpt}")
    severity, what = other, f"The {label} was {before.excerpt}, and is {after.excerpt}"
    if known.kind == "filter" and after.detail.get("is_gone"):
        severity, what = "concern", f"The filter {known.name} was taken out of the pipeline"
    if known.kind == "rails" and (lost := _lost_flows(before, after)):
        severity, what = "concern", f"Flows of the rails are gone: {', '.join(lost)}"
    if known.kind == "remote_code" and set(after.detail["hooks"]) - set(before.detail["hooks"]):
        severity = "concern"
        what = f"The code now {after.excerpt}"
    if known.kind == "system_prompt" and before.detail["is_about_safety"]:
        severity = "concern" if not after.detail["is_about_safety"] else severity
    return _change(severity, known, before, after, what)


def _lost_flows(before: Mechanism, after: Mechanism) -> list[str]:
    return [
        f"{side} {flow}"
        for side, flows in before.detail["flows"].items()
        for flow in flows
        if flow not in after.detail["flows"][side]
    ]


def _template(known: Mechanism, before: Mechanism | None, after: Mechanism | None) -> Change:
    """Compare two templates by their form; texts about safety have changes of their own."""
    if before is None:
        return _change("review", known, before, after, "A new chat template")
    if after is None:
        return _change("concern", known, before, after, "The chat template is gone")
    lost, gained = _counted(before.detail["form"], after.detail["form"])
    texts = [one for one in before.detail["texts"] if one not in after.detail["texts"]]
    conditions = [
        one for one in before.detail["conditions"] if one not in after.detail["conditions"]
    ]
    told = [f"{lost} parts are gone and {gained} are new"]
    told += [f"a text is gone: “{excerpt(one)[:80]}”" for one in texts if not is_about_safety(one)]
    told += [f"{len(conditions)} conditions are other ones"] if conditions else []
    what = "The chat template does something else: " + "; ".join(told[:5])
    return _change("review", known, before, after, what)


def _counted(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[int, int]:
    """Count the lines that are gone and those that are new."""
    matcher = SequenceMatcher(a=old, b=new, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return len(old) - same, len(new) - same


def _tokens(known: Mechanism, before: Mechanism | None, after: Mechanism | None) -> Change:
    """Tokens added at the end are harmless; one that is another, or no longer special, is not."""
    if before is None or after is None:
        return _change("review", known, before, after, "Only one of the two has added tokens")
    old, new = before.detail["tokens"], after.detail["tokens"]
    gone = sorted(set(old) - set(new))
    moved = sorted(one for one in set(old) & set(new) if old[one] != new[one])
    highest = max((meaning[0] or 0 for meaning in old.values()), default=-1)
    fresh = {one: new[one] for one in set(new) - set(old)}
    inside = sorted(one for one, meaning in fresh.items() if (meaning[0] or 0) <= highest)
    if gone or moved or inside:
        named = ", ".join(repr(one) for one in [*gone, *moved, *inside][:6])
        return _change("review", known, before, after, f"Added tokens are other ones: {named}")
    return _change("harmless", known, before, after, f"{len(fresh)} tokens were added at the end")


def _unread(base: Inventory, derived: Inventory) -> Iterator[Change]:
    for side, found in (("base", base), ("derived", derived)):
        for file, why in found.unreadable:
            yield Change(
                severity="review",
                kind="unreadable",
                name=f"{side}: {file}",
                what=f"{file} of the {side} {why}; what it says is unknown",
                place=file,
            )


def _change(
    severity: Severity,
    known: Mechanism,
    before: Mechanism | None,
    after: Mechanism | None,
    what: str,
) -> Change:
    return Change(
        severity=severity,
        kind=known.kind,
        name=known.name,
        what=what + ("" if what.endswith((".", "…", "”")) else "."),
        place=(after or known).place,
        before=before.fingerprint if before else "",
        after=after.fingerprint if after else "",
    )
