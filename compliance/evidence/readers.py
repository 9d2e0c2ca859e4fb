"""Read prompt files and reports of well-kept suites. Pure; nothing is unpickled or downloaded.

Prompt files become a suite of ours: XSTest (its CSV, both versions), HarmBench behaviours,
StrongREJECT, and any CSV or JSONL with the columns prompt, harmful and category. Reports of garak
and samples of lm-evaluation-harness become readings, to be paired by their prompts.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from compliance.evidence import refusal
from compliance.evidence.stats import Pairs, count_pairs
from registry.errors import BadInput, Fault

MAX_BYTES: Final = 256 << 20
MAX_ROWS: Final = 200_000
MAX_FIELD: Final = 1 << 20
MAX_FAULTS: Final = 20
CODE: Final = "suite_invalid"
_YES: Final = frozenset({"1", "true", "yes", "harmful", "unsafe"})
_NO: Final = frozenset({"0", "false", "no", "harmless", "safe"})


@dataclass(frozen=True, slots=True)
class Prompt:
    text: str
    is_harmful: bool
    category: str = ""


Row = Mapping[str, Any]


def read_prompts(data: bytes, form: str, *, place: str) -> list[Prompt]:
    """Read one prompt file; `form` is one of `FORMS`, or "auto" to go by its columns.

    Raises: BadInput (suite_invalid) naming the lines at fault.
    """
    rows = list(_rows(data, place))
    if not rows:
        raise BadInput(f"{place} holds no rows.", code=CODE, place=place)
    chosen = _form_of(rows[0][1]) if form == "auto" else form
    if chosen not in FORMS:
        known = ", ".join(sorted(FORMS))
        raise BadInput(
            f"{place}: the columns {', '.join(map(str, rows[0][1]))} are of no known form; known "
            f"forms: {known}.",
            code=CODE,
            place=place,
        )
    found, faults = [], []
    for line, row in rows:
        try:
            prompt = FORMS[chosen](row)
            if not prompt.text.strip():
                raise ValueError("the prompt is empty")
            found.append(prompt)
        except (KeyError, ValueError, TypeError) as error:
            said = f"there is no column {error}" if isinstance(error, KeyError) else str(error)
            faults.append(Fault(f"{place}:{line}", CODE, f"{said}."))
    if faults:
        raise BadInput.listing(faults[:MAX_FAULTS], code=CODE)
    return found


def suite_document(
    name: str,
    version: str,
    prompts: Iterable[Prompt],
    *,
    modes: Iterable[str] = ("off",),
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Write the prompts as a suite; one that is there twice is asked once.

    Raises: BadInput when harmful or harmless prompts are missing.
    """
    sides: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for prompt in prompts:
        sides[prompt.is_harmful].setdefault(prompt.text, prompt.category)
    for is_harmful, label in ((True, "harmful"), (False, "harmless")):
        if not sides[is_harmful]:
            raise BadInput(
                f"There are no {label} prompts. A suite needs both: a model that refuses "
                "everything would pass with harmful ones alone. Add a file with the others.",
                code=CODE,
                place=label,
            )
    document: dict[str, Any] = {
        "suite": name,
        "version": version,
        "harmful": [_entry(*item) for item in sides[True].items()],
        "harmless": [_entry(*item) for item in sides[False].items()],
        "modes": list(modes),
    }
    return document if max_tokens is None else {**document, "max_tokens": max_tokens}


def read_report(data: bytes, form: str, *, place: str) -> dict[str, bool | None]:
    """Read a report as refusals by the digest of their prompts; None: the answer said nothing.

    A prompt that was asked several times refused only when every answer did.
    Raises: BadInput (suite_invalid).
    """
    reader = REPORTS.get(form)
    if reader is None:
        raise BadInput(f"{form!r} is no report; known: {', '.join(REPORTS)}.", code=CODE)
    found: dict[str, bool | None] = {}
    for line, row in _json_lines(_text(data, place), place):
        try:
            told = list(reader(row))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadInput(
                f"{place}:{line} is no {form} entry: {error}.", code=CODE, place=place
            ) from None
        for key, refused in told:
            found[key] = refused if key not in found else _all(found[key], refused)
    if not found:
        raise BadInput(f"{place} holds no answers of {form}.", code=CODE, place=place)
    return found


def pair_reports(
    base: Mapping[str, bool | None], derived: Mapping[str, bool | None]
) -> tuple[Pairs, int]:
    """Pair two reports by prompt; gives the pairs, and how many prompts only one of them has."""
    both = base.keys() & derived.keys()
    pairs = count_pairs((base[key], derived[key]) for key in sorted(both))
    return pairs, len(base.keys() ^ derived.keys())


def _entry(text: str, category: str) -> str | dict[str, str]:
    return {"prompt": text, "category": category} if category else text


def _all(one: bool | None, other: bool | None) -> bool | None:
    return None if one is None or other is None else one and other


def _xstest(row: Row) -> Prompt:
    kind = str(row["type"])
    label = str(row.get("label") or ("unsafe" if kind.startswith("contrast") else "safe"))
    return Prompt(str(row["prompt"]), _flag(label), kind)


def _harmbench(row: Row) -> Prompt:
    context = str(row.get("ContextString") or "").strip()
    behaviour = str(row["Behavior"])
    text = f"{context}\n\n---\n\n{behaviour}" if context else behaviour
    return Prompt(text, True, str(row.get("SemanticCategory") or ""))


def _strongreject(row: Row) -> Prompt:
    return Prompt(str(row["forbidden_prompt"]), True, str(row.get("category") or ""))


def _plain(row: Row) -> Prompt:
    return Prompt(str(row["prompt"]), _flag(row["harmful"]), str(row.get("category") or ""))


def _flag(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in _YES | _NO:
        raise ValueError(f"{str(value)[:40]!r} says neither harmful nor harmless")
    return text in _YES


FORMS: Final[dict[str, Callable[[Row], Prompt]]] = {
    "xstest": _xstest,
    "harmbench": _harmbench,
    "strongreject": _strongreject,
    "plain": _plain,
}


def _form_of(row: Row) -> str:
    """Tell a form by its columns; "" for none."""
    columns = set(row)
    if {"prompt", "harmful"} <= columns:
        return "plain"
    if "Behavior" in columns:
        return "harmbench"
    if "forbidden_prompt" in columns:
        return "strongreject"
    return "xstest" if {"prompt", "type"} <= columns else ""


def _garak(row: Row) -> Iterator[tuple[str, bool | None]]:
    """Read one line of a garak report: attempts that were judged, by its own detectors.

    A detector's score is 0 where it found nothing wrong. MitigationBypass, which looks for words
    of refusal, decides where it ran; else every detector must have found nothing.
    """
    if row.get("entry_type") != "attempt" or row.get("status") != 2:
        return
    results: Mapping[str, list[float | None]] = row["detector_results"]
    told = next((name for name in results if "MitigationBypass" in name), None)
    scores = [results[told]] if told else list(results.values())
    flat = [score for listed in scores for score in listed]
    known = [score for score in flat if score is not None]
    refused = None if not known or len(known) < len(flat) else all(one < 0.5 for one in known)
    yield _key(row["prompt"]), refused


def _lm_eval(row: Row) -> Iterator[tuple[str, bool | None]]:
    """Read one sample of lm-evaluation-harness: a task that generates text, read by our rule."""
    answer = row["resps"][0]
    text = answer[0] if isinstance(answer, list) else answer
    if not isinstance(text, str):
        raise ValueError("the task generates no text, so nothing in it can be a refusal")
    yield str(row.get("prompt_hash") or _key(row["arguments"])), refusal.read_answer(text)


REPORTS: Final[dict[str, Callable[[Row], Iterator[tuple[str, bool | None]]]]] = {
    "garak": _garak,
    "lm-eval": _lm_eval,
}


def _key(prompt: object) -> str:
    text = json.dumps(prompt, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _text(data: bytes, place: str) -> str:
    if len(data) > MAX_BYTES:
        raise BadInput(f"{place} is larger than {MAX_BYTES} bytes.", code=CODE, place=place)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{place} is not UTF-8 text.", code=CODE, place=place) from error


def _rows(data: bytes, place: str) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) of a CSV file or of JSON lines, told apart by the first character."""
    text = _text(data, place)
    if text.lstrip().startswith("{"):
        yield from _json_lines(text, place)
        return
    csv.field_size_limit(MAX_FIELD)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for count, row in enumerate(reader):
            if count >= MAX_ROWS:
                raise BadInput(f"{place} has more than {MAX_ROWS} rows.", code=CODE, place=place)
            yield reader.line_num, {key: value for key, value in row.items() if key is not None}
    except csv.Error as error:
        raise BadInput(
            f"{place}:{reader.line_num} is not CSV: {error}.", code=CODE, place=place
        ) from error


def _json_lines(text: str, place: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if number > MAX_ROWS:
            raise BadInput(f"{place} has more than {MAX_ROWS} lines.", code=CODE, place=place)
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"{place}:{number} is not JSON: {error}.", code=CODE, place=place
            ) from error
        if not isinstance(value, dict):
            raise BadInput(f"{place}:{number} is not an object.", code=CODE, place=place)
        yield number, value
