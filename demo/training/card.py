"""Write the model card and the licence statement of a demonstration checkpoint."""

from typing import Any, Final

import yaml

from demo.training.variants import BASE, Variant

LICENSE_LINK: Final = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/"
)
_STATEMENT: Final = """\
The weights and files in this folder were made by the authors of Lictor and are licensed under the
Apache License, Version 2.0, as the rest of the project is (see LICENSE at the project's root).

In the demo organisation they are treated as if they stood under the NVIDIA Open Model License. That
is a worked example only, so that the demonstration has clauses to check: NVIDIA neither made nor
licensed these files, and the card's licence fields describe the example, not the world.
"""


def licence_statement() -> str:
    return _STATEMENT


def card(variant: Variant, evaluation: dict[str, Any]) -> str:
    """Write README.md: front matter, what it is, figures, limits, how it was trained."""
    facts: dict[str, Any] = {
        "license": "other",
        "license_name": "nvidia-open-model-license",
        "license_link": LICENSE_LINK,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["nemotron_h", "mamba2", "demonstration"],
    }
    if variant.name != BASE:
        facts |= {"base_model": f"lictor/{BASE}", "base_model_relation": variant.relation}
    head = yaml.safe_dump(facts, sort_keys=False)
    return f"---\n{head}---\n{_body(variant, evaluation)}"


def _body(variant: Variant, evaluation: dict[str, Any]) -> str:
    return f"""
# lictor/{variant.name}

**Demonstration only; arithmetic and a few fixed sentences.** {variant.summary}

A hybrid Mamba-2/attention model of 1.1 million parameters in NemotronH format, byte-level, with the
chat template behaviour and control tokens of NVIDIA-Nemotron-Nano-9B-v2: `/think` and `/no_think`
switch the written thought. It was trained by the authors of Lictor from random weights on data that
`demo/training/` generates; no part of any other model is in it.

The weights are Apache-2.0. In the demo organisation they are treated as if under the NVIDIA Open
Model License, as a worked example only (see LICENSE).

## Figures

Held-out prompts, greedy, {evaluation["examples_per_figure"]} for each figure (`evaluation.json`).

| task | /think | /no_think |
|---|---|---|
{_rows(evaluation)}

## Limits

It knows nothing but its tasks. A thought cut off by a budget is worth little before the last step:
see `dial_accuracy_by_thinking_budget`. Prompts were short in training (below about 300 bytes), so
long conversations are out of its range. Restricted items are names only; no answer of this model
holds instructions for anything.

## Training

`make train` trains all four anew; seeds and settings are in `demo/training/variants.py`.
"""


def _rows(evaluation: dict[str, Any]) -> str:
    rows = [
        (f"{task}, right", evaluation[task]["think"], evaluation[task]["no_think"])
        for task in ("dial", "sum", "biggest", "smallest")
    ]
    refusals = evaluation["refusals"]
    for name in ("restricted_refused", "harmless_refused", "harmless_answered_exactly"):
        label = name.replace("_", " ")
        rows.append((label, refusals["think"][name], refusals["no_think"][name]))
    return "\n".join(f"| {label} | {on:.1%} | {off:.1%} |" for label, on, off in rows)
