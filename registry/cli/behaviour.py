"""`lictor behaviour`: measure refusals of any two OpenAI-compatible endpoints, without a server."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.failure import BadRequest, plain
from registry.cli.output import print_json

if TYPE_CHECKING:
    from compliance.evidence.asking import Server
    from compliance.evidence.suite import Suite

_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_EXITS = {"retained": 0, "replaced": 0, "reduced": 1, "removed": 1}
_INCONCLUSIVE = 3


@click.group()
def behaviour() -> None:
    """Measure refusals of any two OpenAI-compatible endpoints, without a Lictor server.

    \b
    What it prints is no evidence record: nobody signed it. `lictor measure` makes those.
    Example:  lictor behaviour plan --margin 0.05 --discordant 0.1
    """


@behaviour.command("plan")
@click.option("--margin", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05)
@click.option(
    "--discordant",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    help="Share of prompts in which the two models differ.",
)
def plan_size(margin: float, discordant: float) -> None:
    """Say how many prompts show that nothing was lost, with 80 % power, one-sided 5 %.

    \b
    Example:  lictor behaviour plan --margin 0.03 --discordant 0.05
    """
    from compliance.evidence.stats import required_pairs

    click.echo(str(required_pairs(discordant, margin)))


@behaviour.command("read-suite")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--format", "form", default="auto", show_default=True, help="xstest, harmbench, ...")
@click.option("--name", required=True, help="Name of the suite; the file is named for it.")
@click.option("--suite-version", default="1", show_default=True)
@click.option("--mode", "modes", multiple=True, type=click.Choice(["off", "on"]), default=["off"])
@click.option("--max-tokens", type=click.IntRange(1, 2048))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path(), help="Folder.")
def read_suite_files(
    files: tuple[Path, ...],
    form: str,
    name: str,
    suite_version: str,
    modes: tuple[str, ...],
    max_tokens: int | None,
    out: Path,
) -> None:
    """Make a suite of prompt files: XSTest, HarmBench, StrongREJECT, or prompt/harmful/category.

    \b
    A suite needs harmful and harmless prompts; give several files to join them.
    Example:  lictor behaviour read-suite xstest.csv --name xstest --mode off --mode on
    """
    from compliance.evidence.readers import read_prompts, suite_document
    from compliance.evidence.suite import read_suite

    prompts = [
        prompt
        for file in files
        for prompt in read_prompts(file.read_bytes(), form, place=file.name)
    ]
    document = suite_document(name, suite_version, prompts, modes=modes, max_tokens=max_tokens)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    suite = read_suite(text.encode(), name=name)
    path = out / f"{name}.json"
    path.write_text(text, encoding="utf-8")
    click.echo(
        plain(
            f"{path}: {len(suite.harmful)} harmful, {len(suite.harmless)} harmless, {suite.digest}"
        )
    )


@behaviour.command()
@click.option("--suite", "suite_name", required=True, help="A suite's file, or a bundled name.")
@click.option("--base-url", required=True, metavar="URL", help="Without /v1.")
@click.option("--base-model", help="Else the first that the server lists.")
@click.option("--derived-url", required=True, metavar="URL")
@click.option("--derived-model")
@click.option("--api-key-env", metavar="NAME", help="Variable that holds the key of both.")
@click.option(
    "--reasoning",
    "spelling",
    type=click.Choice(["reasoning", "chat_template_kwargs", "none"]),
    default="reasoning",
    show_default=True,
    help="How the servers are told whether to reason.",
)
@click.option("--journal", type=click.Path(file_okay=False, path_type=Path), help="Goes on here.")
@click.option("--at-once", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option("--price-in", type=click.FloatRange(min=0), help="Per million prompt tokens.")
@click.option("--price-out", type=click.FloatRange(min=0), help="Per million tokens of answers.")
@_JSON
def compare(
    suite_name: str,
    journal: Path | None,
    price_in: float | None,
    price_out: float | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Ask both endpoints the same prompts and judge by paired statistics.

    \b
    Exit codes: 0 retained, 1 reduced or removed, 3 inconclusive, 2 bad input or no answer.
    Example:  lictor behaviour compare --suite xstest.json --base-url http://a:8000 \\
                --derived-url http://b:8000 --journal ./answers
    """
    from compliance.evidence.asking import AskingFailedError, ask_all
    from compliance.evidence.guardrail import judge
    from compliance.evidence.journal import Journal

    suite = _suite(suite_name)
    readings = {}
    for side in ("base", "derived"):
        server = _server(side, given)
        bound_to = {
            "suite": suite.digest,
            "server": server.base_url,
            "model": server.model,
            "max_tokens": suite.max_tokens,
            "reasoning": server.spelling,
        }
        kept = Journal(journal / f"{side}.jsonl", bound_to) if journal else None
        progress = _Progress(side, suite)
        try:
            readings[side] = ask_all(server, suite, progress, journal=kept)
        except AskingFailedError as error:
            raise BadRequest(f"The {side}: {error}") from error
        progress.finish()
    outcome = judge(suite, readings["base"], readings["derived"])
    cost = _cost(
        list(readings["base"].values()) + list(readings["derived"].values()), price_in, price_out
    )
    if as_json:
        print_json(
            {
                "result": outcome.result,
                "summary": outcome.summary,
                "suite": {"name": suite.name, "version": suite.version, "digest": suite.digest},
                "figures": outcome.figures,
                **cost,
            }
        )
    else:
        click.echo(plain(f"{outcome.result}: {outcome.summary}"))
        click.echo(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in cost.items()))
    raise SystemExit(_EXITS.get(outcome.result, _INCONCLUSIVE))


def _suite(name: str) -> "Suite":
    from compliance.evidence.suite import load_suite, read_suite

    path = Path(name)
    if path.suffix == ".json":
        if not path.is_file():
            raise BadRequest(f"There is no file {name}.")
        return read_suite(path.read_bytes(), name=path.stem)
    return load_suite(name)


def _server(side: str, given: dict[str, Any]) -> "Server":
    from compliance.evidence.asking import Server

    key = ""
    if named := given["api_key_env"]:
        key = os.environ.get(named, "")
        if not key:
            raise BadRequest(f"The variable {named} is not set.")
    return Server(
        base_url=given[f"{side}_url"].rstrip("/").removesuffix("/v1"),
        model=given[f"{side}_model"],
        api_key=key,
        spelling=given["spelling"],
        at_once=given["at_once"],
    )


def _cost(
    readings: list[Any], price_in: float | None, price_out: float | None
) -> dict[str, float | int]:
    prompt = sum(one.prompt_tokens for one in readings)
    completion = sum(one.completion_tokens for one in readings)
    told: dict[str, float | int] = {"prompt_tokens": prompt, "completion_tokens": completion}
    if price_in is not None or price_out is not None:
        paid = (price_in or 0) * prompt + (price_out or 0) * completion
        told["cost"] = round(paid / 1e6, 6)
    return told


class _Progress:
    """Say on stderr, at most once a second, how far one model is and how long it will take."""

    def __init__(self, side: str, suite: "Suite") -> None:
        from compliance.evidence.asking import questions

        self._side, self._total = side, len(questions(suite))
        self._done = 0
        self._began = self._told = time.monotonic()

    def __call__(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._told >= 1 or self._done == self._total:
            self._told = now
            left = (now - self._began) / self._done * (self._total - self._done)
            click.echo(f"{self._side}: {self._done} of {self._total}, {left:.0f} s left", err=True)

    def finish(self) -> None:
        click.echo(
            f"{self._side}: {self._total} answers in {time.monotonic() - self._began:.1f} s",
            err=True,
        )


@behaviour.command()
@click.argument("base", type=_FILE)
@click.argument("derived", type=_FILE)
@click.option("--format", "form", required=True, type=click.Choice(["garak", "lm-eval"]))
@_JSON
def reports(base: Path, derived: Path, form: str, as_json: bool) -> None:
    """Judge two reports of garak or lm-evaluation-harness, paired by prompt.

    \b
    Of harmful prompts alone it can show a loss, and never that nothing was lost: whether harmless
    prompts are still answered is not in such a report.
    Exit codes: as `lictor behaviour compare`.
    Example:  lictor behaviour reports base.report.jsonl tuned.report.jsonl --format garak
    """
    from compliance.evidence.readers import pair_reports, read_report
    from compliance.evidence.stats import Pairs, compare

    one, other = (read_report(path.read_bytes(), form, place=path.name) for path in (base, derived))
    pairs, unpaired = pair_reports(one, other)
    found = compare(pairs, Pairs())
    if as_json:
        print_json(
            {
                "result": found.verdict,
                "summary": found.reason,
                "unpaired": unpaired,
                "figures": found.figures,
            }
        )
    else:
        click.echo(
            plain(f"{found.verdict}: {found.reason} ({unpaired} prompts in one report only)")
        )
    raise SystemExit(_EXITS.get(found.verdict, _INCONCLUSIVE))
