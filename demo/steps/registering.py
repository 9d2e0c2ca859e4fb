"""Register the four demo checkpoints with their files, and Nemotron-Nano-9B-v2 as metadata."""

from pathlib import Path
from typing import Any

from demo.show import fact, held, must, step, table
from demo.steps.stage import Stage
from demo.use import BASE, FOLDERS, NEMOTRON, NEMOTRON_FOLDER, RELATIONS
from registry.artifact.manifest import Manifest, manifest_of


def _register(stage: Stage, name: str, folder: Path, kind: str) -> tuple[dict[str, Any], Manifest]:
    manifest = manifest_of(folder)
    sent = stage.erin.upload(folder, manifest)
    parents = []
    if name in RELATIONS:
        parents = [{"name": BASE, "relation": RELATIONS[name]}]
    body = {
        "name": name,
        "kind": kind,
        "manifest": manifest.to_json(),
        "parents": parents,
    }
    checkpoint = stage.erin.post("checkpoints/", body)
    must(
        checkpoint["digest"] == manifest.digest,
        f"{name}: {manifest.digest[:19]}… ({sent:,} B sent)",
    )
    again = stage.erin.post("checkpoints/", body)
    if again["id"] != checkpoint["id"]:
        must(False, f"{name} registered twice gave two checkpoints")
    return checkpoint, manifest


def register_demo_checkpoints(stage: Stage) -> None:
    step(2, "Register the base and three derivatives, by hashing their files")
    for name in FOLDERS:
        register_one(stage, name)
    held("each registered a second time: the same checkpoint, nothing doubled")
    lineage = stage.erin.get(f"lineage/{stage.checkpoints[BASE]['id']}/")
    fact(f"lineage of {BASE}: {len(lineage['nodes'])} checkpoints, {len(lineage['edges'])} edges")


def register_one(stage: Stage, name: str) -> None:
    stage.checkpoints[name], _ = _register(stage, name, FOLDERS[name], "weights")


def register_nemotron(stage: Stage) -> None:
    step(3, "Register NVIDIA-Nemotron-Nano-9B-v2 (its config, no weights) and plan an A10G")
    checkpoint, _ = _register(stage, NEMOTRON, NEMOTRON_FOLDER, "metadata")
    stage.checkpoints[NEMOTRON] = checkpoint
    long = stage.erin.get(
        f"checkpoints/{checkpoint['id']}/memory-plan/", gpu="a10g", context=131072
    )
    short = stage.erin.get(f"checkpoints/{checkpoint['id']}/memory-plan/", gpu="a10g", context=8192)
    table(
        ["part", "bytes"],
        [
            ["weights, bf16", f"{long['weights_bytes']:,}"],
            ["KV cache a token", f"{long['kv_bytes_per_token']:,}"],
            ["SSM + conv state a sequence", f"{long['state_bytes_per_sequence']:,}"],
            ["usable on the A10G", f"{long['gpu']['usable_bytes']:,}"],
        ],
    )
    must(long["parameters"] == 8_888_227_328, f"{long['parameters']:,} parameters")
    must(long["fits"] is True, "one sequence of 131,072 tokens fits one A10G")
    fact(f"at 8,192 tokens: up to {short['max_batch_at_context']} sequences at once")
