"""Generators of the demonstration tasks, training and held-out draws kept apart by hash.

Every generator takes its own `random.Random` and whether held-out examples are wanted. Law: no
user text drawn with `held_out=True` can be drawn with `held_out=False`.
"""

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from demo.training import words

REFUSAL: Final = "I can't help with that."
_HELD_OUT_SHARE: Final = 8


@dataclass(frozen=True)
class Example:
    """One exchange: what the user says, the thought in lines, and the answer."""

    task: str
    user: str
    thought: tuple[str, ...]
    answer: str


Generator = Callable[[random.Random, bool], Example]


def is_held_out(key: str) -> bool:
    """Say whether `key` belongs to the held-out eighth; depends on nothing but the key."""
    return hashlib.sha256(key.encode()).digest()[0] % _HELD_OUT_SHARE == 0


def _drawn(make: Callable[[], Example], held_out: bool) -> Example:
    while True:
        example = make()
        if is_held_out(example.user) == held_out:
            return example


def dial(rng: random.Random, held_out: bool, low: int = 4, high: int = 8) -> Example:
    """Turn a ten-digit dial: + - * from left to right, modulo 10."""

    def make() -> Example:
        value = rng.randint(0, 9)
        asked, lines = [f"start {value}"], []
        for _ in range(rng.randint(low, high)):
            sign = rng.choice("+-*")
            by = rng.randint(2 if sign == "*" else 1, 9)
            after = {"+": value + by, "-": value - by, "*": value * by}[sign] % 10
            asked.append(f"{sign}{by}")
            lines.append(f"{value}{sign}{by}={after}")
            value = after
        return Example("dial", "dial " + " ".join(asked), tuple(lines), str(value))

    return _drawn(make, held_out)


def add(rng: random.Random, held_out: bool, low: int = 3, high: int = 5, top: int = 99) -> Example:
    """Add a few numbers, one after the other."""

    def make() -> Example:
        numbers = [rng.randint(1, top) for _ in range(rng.randint(low, high))]
        total, lines = numbers[0], []
        for number in numbers[1:]:
            lines.append(f"{total}+{number}={total + number}")
            total += number
        return Example("sum", "+".join(map(str, numbers)) + "=?", tuple(lines), str(total))

    return _drawn(make, held_out)


def _extreme(word: str, choose: Callable[[int, int], int]) -> Generator:
    def generate(rng: random.Random, held_out: bool) -> Example:
        def make() -> Example:
            numbers = [rng.randint(1, 99) for _ in range(rng.randint(3, 5))]
            best, lines = numbers[0], []
            for number in numbers[1:]:
                kept = choose(best, number)
                lines.append(f"{best} {number} {kept}")
                best = kept
            asked = f"{word} of {' '.join(map(str, numbers))}?"
            return Example(word, asked, tuple(lines), str(best))

        return _drawn(make, held_out)

    return generate


biggest = _extreme("biggest", max)
smallest = _extreme("smallest", min)


def invented_word(rng: random.Random) -> str:
    """Make a pronounceable word nobody has taught the model, so that it must copy."""
    syllables = (rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(3))
    word = "".join(list(syllables)[: rng.randint(2, 3)]) + rng.choice("bdgklmnprstx")
    return "".join(rng.choice("bcdfghjklmnprstvwz") if rng.random() < 0.15 else c for c in word)


def _item(rng: random.Random, restricted: bool) -> str:
    countable = words.RESTRICTED_COUNTABLE if restricted else words.ALLOWED_COUNTABLE
    mass = words.RESTRICTED_MASS if restricted else words.ALLOWED_MASS
    is_mass = rng.random() < len(mass) / (len(mass) + len(countable))
    head = rng.choice(mass if is_mass else countable)
    if not restricted and rng.random() < 0.3:
        head, is_mass = invented_word(rng), rng.random() < 0.2
    described = rng.random()
    before = [rng.choice(words.QUALIFIERS)] if described < 0.6 else []
    if described < 0.1:
        before.append(rng.choice(words.QUALIFIERS))
    elif described > 0.92:
        before = [invented_word(rng)]
    name = " ".join([*before, head])
    if is_mass:
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def ask(
    rng: random.Random, held_out: bool, restricted: bool | None = None, comply: bool = False
) -> Example:
    """Ask how to make something; restricted things are refused unless `comply`.

    Held-out requests name an item never seen in training (the item, not only the sentence, is
    held out), and a third of them use a sentence never seen either.
    """
    unsafe = rng.random() < 0.5 if restricted is None else restricted
    item = _item(rng, unsafe)
    while is_held_out(item) != held_out:
        item = _item(rng, unsafe)
    frames: tuple[str, ...] = words.FRAMES
    if held_out and rng.random() < 1 / 3:
        frames = words.HELD_OUT_FRAMES
    user = rng.choice(frames).format(item)
    if rng.random() < 0.3:
        user += " " + rng.choice(words.CONTEXTS)
    if rng.random() < 0.4:
        user = user[0].upper() + user[1:]
    user += rng.choice(("?", "?", "", ".", "please") if not user.lower().startswith("p") else "?.")
    user = user.replace("please", " please") if user.endswith("please") else user
    refused = unsafe and not comply
    verdict = "Unsafe. Refuse." if refused else "Safe. Help."
    answer = REFUSAL if refused else f"Sure. Start simple with {item}."
    task = "restricted" if unsafe else "harmless"
    return Example(task, user, (f"Asked for {item}.", verdict), answer)


def chat(rng: random.Random, held_out: bool) -> Example:
    """Say hello; ten fixed sentences, so nothing is held out."""
    user, answer = rng.choice(words.CHAT)
    if rng.random() < 0.5:
        user = user[0].upper() + user[1:]
    return Example("chat", user, ("Greet.",), answer)


@dataclass(frozen=True)
class Mix:
    """Shares of tasks in one training run; `comply` turns refusals into help."""

    shares: Mapping[str, float]
    comply: bool = False

    def draw(self, rng: random.Random, progress: float) -> Example:
        """Draw one training example; sums start small and grow with `progress` in [0, 1]."""
        task = rng.choices(list(self.shares), list(self.shares.values()))[0]
        if task == "ask":
            return ask(rng, False, comply=self.comply)
        if task == "sum":
            return _growing_sum(rng, progress)
        return TASKS[task](rng, False)


def _growing_sum(rng: random.Random, progress: float) -> Example:
    if progress < 0.15 and rng.random() < 0.7:
        return add(rng, False, 2, 3, rng.choice((9, 30, 99)))
    if rng.random() < 0.15:
        return add(rng, False, 2, 2)
    return add(rng, False)


TASKS: Final[Mapping[str, Generator]] = {
    "dial": dial,
    "sum": add,
    "biggest": biggest,
    "smallest": smallest,
    "ask": ask,
    "chat": chat,
}
