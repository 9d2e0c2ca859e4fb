"""Train the demonstration checkpoints: `python -m demo.training.train --all --out DIR`."""

from pathlib import Path

import click
import torch

from demo.training.evaluate import evaluate
from demo.training.export import as_exported, export
from demo.training.fit import Plan, fit, load_model, new_model, save_weights
from demo.training.lowrank import FullUpdate, LowRankUpdate
from demo.training.variants import BASE, INIT_SEED, VARIANTS, Variant, variant
from inference.models.nemotron_h import NemotronH

_LORA_SCALE = 2.0


@click.command(help=__doc__)
@click.option("--all", "every", is_flag=True, help="Train all four, the base first.")
@click.option("--only", "names", multiple=True, help="Train this one; derivatives need the base.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("var/training"))
@click.option("--threads", default=2, show_default=True)
@click.option("--examples", default=200, show_default=True, help="Prompts for each figure.")
@click.option("--export-only", is_flag=True, help="Evaluate and write what --work holds already.")
def main(
    every: bool,
    names: tuple[str, ...],
    out: Path,
    work: Path,
    threads: int,
    examples: int,
    export_only: bool,
) -> None:
    torch.set_num_threads(threads)
    chosen = VARIANTS if every else tuple(variant(name) for name in names)
    if not chosen:
        raise click.UsageError("say --all, or --only NAME")
    for one in chosen:
        weights = work / f"{one.name}.safetensors"
        if not export_only:
            _train(one, work, weights)
        model = as_exported(load_model(weights))
        click.echo(f"{one.name}: evaluating on {examples} held-out prompts a figure")
        report = {"checkpoint": f"lictor/{one.name}", **evaluate(model, examples)}
        export(load_model(weights), out / one.name, one, report)
        click.echo(f"{one.name}: written to {out / one.name}")


def _train(one: Variant, work: Path, weights: Path) -> None:
    model = _start(one, work)
    forward = torch.compile(model, dynamic=False)
    update = (
        LowRankUpdate(model, rank=one.lora_rank, scale=_LORA_SCALE, seed=one.seed)
        if one.lora_rank
        else FullUpdate(model)
    )
    plan = Plan(
        mix=one.mix,
        seed=one.seed,
        minutes=one.minutes,
        learning_rate=one.learning_rate,
        steps=one.steps,
    )
    click.echo(f"{one.name}: {one.steps} steps, about {one.minutes:g} minutes on two cores")
    summary = fit(model, forward, update, plan, weights)
    click.echo(f"{one.name}: {summary.as_dict()}")
    save_weights(model, weights)


def _start(one: Variant, work: Path) -> NemotronH:
    if one.name == BASE:
        return new_model(INIT_SEED)
    base = work / f"{BASE}.safetensors"
    if not base.is_file():
        raise click.UsageError(f"{base} is missing: train {BASE} first")
    return load_model(base)


if __name__ == "__main__":
    main()
