"""Turn every way of asking for reasoning, and the endpoint's policy, into one setting. Pure.

Precedence: endpoint policy > explicit field > system text > user text > default. Owns the
aliases, the contradictions and the toggle words. Knows nothing about templates, tokens or HTTP.

Explicit fields that name a positive budget or an effort ask for reasoning, unless
`reasoning.mode` is `auto`: then they only bound it. A budget of 0 and the effort `none` ask
for no reasoning.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar

from inference.contract import (
    FieldsContradict,
    Mode,
    ModeSource,
    ReasoningNotSupported,
    ReasoningPolicy,
    RequestRefused,
)

Effort = Literal["minimal", "low", "medium", "high"]
EFFORTS: Final[tuple[Effort, ...]] = ("minimal", "low", "medium", "high")
# Upper bound in tokens, and the share of the model's context it may take at most: a bound
# above the context would be a silent no-op on a small model.
EFFORT_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "minimal": (256, 32),
    "low": (1024, 8),
    "medium": (4096, 4),
    "high": (16384, 2),
}
REQUEST_FIELDS: Final = frozenset(
    {
        "reasoning",
        "reasoning_effort",
        "include_reasoning",
        "chat_template_kwargs",
        "thinking_token_budget",
        "max_thinking_tokens",
        "nvext",
    }
)
MAX_ANSWER_ROOM_TOKENS: Final = 256
# Not part of a longer word, path or marker: "/thinkpad", "/usr/think", "</think>" are text.
TOGGLE_WORD: Final = re.compile(r"(?<![\w/.<-])/(no_)?think(?![\w/-]|\.\w)")

T = TypeVar("T")
Said = tuple[str, T]


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model's template can do about reasoning.

    `nemotron-nano-v2`: words in texts switch, and the template removes them. `qwen3`: a keyword
    switches, and the model itself was trained on the words. `keyword`: a keyword alone, words
    are plain text (Nemotron-Nano-v2-Japanese, Nemotron 3). `none`: nothing switches.

    `same_text_winner` says which word wins when one message holds both: `think`, as in
    Nemotron-Nano's template, or the `last` one, as in Qwen3's.
    """

    name: Literal["nemotron-nano-v2", "qwen3", "keyword", "none"]
    default_mode: Mode
    same_text_winner: Literal["think", "last"] = "think"
    context_tokens: int = 131_072

    @property
    def has_toggle(self) -> bool:
        return self.name != "none"

    @property
    def by_keyword(self) -> bool:
        return self.name in ("qwen3", "keyword")

    @property
    def knows_words(self) -> bool:
        return self.name in ("nemotron-nano-v2", "qwen3")

    def effort_budget(self, effort: Effort) -> int:
        """Return the thinking budget in tokens that an effort stands for, at least 1."""
        bound, share = EFFORT_BOUNDS[effort]
        return max(1, min(bound, self.context_tokens // share))


@dataclass(frozen=True, slots=True)
class Wish:
    """What the explicit fields of one request say; None where they are silent."""

    mode: Mode | None = None
    budget_tokens: int | None = None
    effort: Effort | None = None
    exclude: bool = False
    field: str | None = None


@dataclass(frozen=True, slots=True)
class ReasoningSetting:
    """What runs: the mode, who decided it, and how many tokens thinking may take (None: no cap).

    `strip_toggle_words`: the model's convention knows the words, so they are taken out of
    system and user text; what they asked for is already in `mode`. They stay where the model
    reads them itself and they say what runs anyway, as in its own template.
    """

    mode: Mode
    source: ModeSource
    budget_tokens: int | None = None
    effort: Effort | None = None
    exclude: bool = False
    strip_toggle_words: bool = False


def read_wish(body: Mapping[str, Any]) -> Wish:
    """Read every spelling of the wish from a request body.

    Raises: RequestRefused for a malformed field, FieldsContradict naming both fields.
    """
    reasoning = _object(body, "reasoning", {"mode", "enabled", "max_tokens", "effort", "exclude"})
    kwargs = _object(body, "chat_template_kwargs", {"enable_thinking"})
    nvext = _object(body, "nvext", {"max_thinking_tokens"})
    efforts = _present(
        ("reasoning.effort", _effort("reasoning.effort", reasoning.get("effort"))),
        ("reasoning_effort", _effort("reasoning_effort", body.get("reasoning_effort"))),
    )
    budgets = _present(
        *(
            (name, _budget(name, value))
            for name, value in (
                ("reasoning.max_tokens", reasoning.get("max_tokens")),
                ("thinking_token_budget", body.get("thinking_token_budget")),
                ("max_thinking_tokens", body.get("max_thinking_tokens")),
                ("nvext.max_thinking_tokens", nvext.get("max_thinking_tokens")),
            )
        )
    )
    mode = _mode(reasoning.get("mode"))
    plain = _present(
        ("reasoning.mode", None if mode == "auto" else mode),
        ("reasoning.enabled", _switch("reasoning.enabled", reasoning.get("enabled"))),
        (
            "chat_template_kwargs.enable_thinking",
            _switch("chat_template_kwargs.enable_thinking", kwargs.get("enable_thinking")),
        ),
    )
    implied = list(_implied_modes(efforts, budgets, only_off=mode == "auto"))
    modes = plain + implied
    chosen = _agreed(modes)
    effort = _agreed(efforts)
    return Wish(
        mode=chosen,  # type: ignore[arg-type]
        budget_tokens=_agreed(budgets),
        effort=None if effort == "none" else effort,  # type: ignore[arg-type]
        exclude=_exclude(body, reasoning),
        field=modes[0][0] if modes else _first_field(budgets, efforts),
    )


def resolve(
    wish: Wish, texts: Sequence[tuple[str, str]], *, policy: ReasoningPolicy, profile: Profile
) -> ReasoningSetting:
    """Decide the mode and the budget for one request.

    `texts` is (role, text) in order; only `system` and `user` texts are looked at.

    Raises: ReasoningNotSupported if the model has no toggle and a field or the policy wants one.
    """
    if not profile.has_toggle:
        return _without_toggle(wish, policy, profile)
    mode, source = _decide(wish, texts, policy, profile)
    budget = _capped(_asked_budget(wish, profile), policy.max_budget_tokens)
    if mode == "on" and budget == 0 and policy.mode == "always_on":
        budget = policy.max_budget_tokens
    if mode == "on" and budget == 0:
        mode, source = "off", "policy"
    return ReasoningSetting(
        mode=mode,
        source=source,
        budget_tokens=budget if mode == "on" else None,
        effort=wish.effort if mode == "on" else None,
        exclude=wish.exclude,
        strip_toggle_words=_must_strip(mode, source, texts, profile),
    )


def with_answer_room(setting: ReasoningSetting, max_new_tokens: int) -> ReasoningSetting:
    """Lower the budget so that thinking cannot use up all of `max_new_tokens` (1 or more).

    A quarter is kept for the answer, 256 tokens at most.
    """
    if setting.mode == "off":
        return setting
    room = min(MAX_ANSWER_ROOM_TOKENS, max(1, max_new_tokens // 4))
    return replace(setting, budget_tokens=_capped(setting.budget_tokens, max_new_tokens - room))


def text_signal(text: str, *, same_text_winner: Literal["think", "last"] = "think") -> Mode | None:
    """Return what the toggle words in one text ask for; None if there are none."""
    found: list[Mode] = ["off" if word.group(1) else "on" for word in TOGGLE_WORD.finditer(text)]
    if not found:
        return None
    if same_text_winner == "think":
        return "on" if "on" in found else "off"
    return found[-1]


def strip_toggle_words(text: str) -> str:
    """Remove the toggle words; everything else, `/thinkpad` too, stays as it is."""
    return TOGGLE_WORD.sub("", text)


def _without_toggle(wish: Wish, policy: ReasoningPolicy, profile: Profile) -> ReasoningSetting:
    """Keep the model's only mode, or refuse what asks for another or cannot be honoured."""
    if policy.mode not in ("caller_decides", f"always_{profile.default_mode}"):
        raise ReasoningNotSupported(
            f"the endpoint's policy is {policy.mode}, but this model has no reasoning toggle; "
            f"set the endpoint's policy to caller_decides or always_{profile.default_mode}"
        )
    if wish.field is not None:
        raise ReasoningNotSupported(
            f"{wish.field} asks for a reasoning mode, but this model has no reasoning toggle; "
            "leave the field out",
            param=wish.field,
        )
    return ReasoningSetting(
        mode=profile.default_mode,
        source="default" if policy.mode == "caller_decides" else "policy",
        budget_tokens=policy.max_budget_tokens if profile.default_mode == "on" else None,
        exclude=wish.exclude,
    )


def _decide(
    wish: Wish, texts: Sequence[tuple[str, str]], policy: ReasoningPolicy, profile: Profile
) -> tuple[Mode, ModeSource]:
    if policy.mode != "caller_decides":
        return ("on" if policy.mode == "always_on" else "off"), "policy"
    if wish.mode is not None:
        return wish.mode, "request"
    sources: tuple[ModeSource, ...] = ("system", "user")
    for role in sources if profile.knows_words else ():
        if (said := _last_signal(texts, profile, {role})) is not None:
            return said, role
    return policy.default_mode or profile.default_mode, "default"


def _last_signal(
    texts: Iterable[tuple[str, str]], profile: Profile, roles: Collection[str]
) -> Mode | None:
    signals = [
        text_signal(text, same_text_winner=profile.same_text_winner)
        for said_by, text in texts
        if said_by in roles
    ]
    return next((signal for signal in reversed(signals) if signal is not None), None)


def _must_strip(
    mode: Mode, source: ModeSource, texts: Sequence[tuple[str, str]], profile: Profile
) -> bool:
    """Tell whether words must go: a model that reads them itself would obey the last of them."""
    if not profile.by_keyword or not profile.knows_words:
        return profile.knows_words
    own = _last_signal(texts, profile, {"system", "user"})
    return source in ("policy", "request") or own not in (None, mode)


def _asked_budget(wish: Wish, profile: Profile) -> int | None:
    if wish.budget_tokens is not None:
        return wish.budget_tokens
    return profile.effort_budget(wish.effort) if wish.effort else None


def _capped(budget: int | None, cap: int | None) -> int | None:
    known = [value for value in (budget, cap) if value is not None]
    return min(known) if known else None


def _implied_modes(
    efforts: Iterable[Said[str]], budgets: Iterable[Said[int]], *, only_off: bool
) -> Iterable[Said[str]]:
    wishes = [(name, effort != "none") for name, effort in efforts]
    wishes += [(name, budget > 0) for name, budget in budgets]
    return [(name, "on" if wants else "off") for name, wants in wishes if not (wants and only_off)]


def _agreed(said: Sequence[Said[T]]) -> T | None:
    """Return the one value all fields agree on; None if none spoke."""
    for name, value in said[1:]:
        if value != said[0][1]:
            first = said[0][0]
            raise FieldsContradict(
                f"{first} says {said[0][1]!r} and {name} says {value!r}; send one of them",
                param=f"{first}, {name}",
            )
    return said[0][1] if said else None


def _present(*said: Said[T | None]) -> list[Said[T]]:
    return [(name, value) for name, value in said if value is not None]


def _first_field(*groups: Sequence[Said[Any]]) -> str | None:
    return next((said[0][0] for said in groups if said), None)


def _object(body: Mapping[str, Any], name: str, known: set[str]) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RequestRefused(f"{name} must be an object", param=name)
    for member in value:
        if member not in known:
            raise RequestRefused(
                f"{name}.{member} is not accepted; accepted: {', '.join(sorted(known))}",
                param=f"{name}.{member}",
            )
    return value


def _mode(value: object) -> str | None:
    if value not in (None, "on", "off", "auto"):
        raise RequestRefused("reasoning.mode must be on, off or auto", param="reasoning.mode")
    return value


def _effort(name: str, value: object) -> str | None:
    if value is not None and value not in ("none", *EFFORTS):
        raise RequestRefused(f"{name} must be one of none, {', '.join(EFFORTS)}", param=name)
    return value


def _budget(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RequestRefused(f"{name} must be a whole number of tokens, 0 or more", param=name)
    return value


def _switch(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, bool):
        raise RequestRefused(f"{name} must be true or false", param=name)
    return "on" if value else "off"


def _exclude(body: Mapping[str, Any], reasoning: Mapping[str, Any]) -> bool:
    exclude = _switch("reasoning.exclude", reasoning.get("exclude"))
    include = _switch("include_reasoning", body.get("include_reasoning"))
    said = _present(
        ("reasoning.exclude", None if exclude is None else exclude == "on"),
        ("include_reasoning", None if include is None else include == "off"),
    )
    return bool(_agreed(said))
