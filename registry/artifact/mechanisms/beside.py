"""Find what stands beside the weights: guard models, rails, filters, code, adapters."""

import ast
from collections.abc import Iterator
from typing import Any, Final

from registry.artifact.mechanisms.files import Files
from registry.artifact.mechanisms.shapes import Mechanism, excerpt, fingerprint
from registry.artifact.mechanisms.words import GUARD_NAMES

HOOKS: Final = frozenset(
    {
        *("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"),
        *("LogitsProcessor", "LogitsProcessorList", "LogitsWarper", "StoppingCriteria"),
        *("steering", "steering_vector", "control_vector", "activation_addition"),
    }
)
MAX_CODE_BYTES: Final = 2 << 20


def beside_mechanisms(files: Files) -> Iterator[Mechanism]:
    yield from _guard_models(files)
    yield from _rails(files)
    yield from _filters(files)
    yield from _code(files)
    yield from _adapters(files)


def _guard_models(files: Files) -> Iterator[Mechanism]:
    """Yield each folder or weights file whose name is that of a guard."""
    found: dict[str, list[str]] = {}
    for path in files.paths:
        parts = path.split("/")
        for depth, part in enumerate(parts):
            is_weights = path.endswith((".safetensors", ".bin", ".gguf", "config.json"))
            if is_weights and GUARD_NAMES.search(part):
                found.setdefault("/".join(parts[: depth + 1]), []).append(path)
                break
    for name, paths in sorted(found.items()):
        sizes = {path: (files.folder / path).stat().st_size for path in sorted(paths)}
        yield Mechanism(
            kind="guard_model",
            name=name,
            place=name,
            fingerprint=fingerprint(sizes),
            excerpt=f"{len(sizes)} files, {sum(sizes.values()):,} B; known by name and sizes",
        )


def _rails(files: Files) -> Iterator[Mechanism]:
    """Yield each NeMo Guardrails configuration: which flows read what, and its prompts.

    A digest proves only what is there; whether a request may switch it off is for who serves it.
    """
    for path in [*files.ending("config.yml", "config.yaml"), *files.ending("rails.yml")]:
        value = files.yaml(path)
        rails = value.get("rails") if isinstance(value, dict) else None
        if not isinstance(rails, dict):
            continue
        flows = {side: _flows(rails.get(side)) for side in ("input", "output", "retrieval")}
        folder = path.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        flow_files = [one for one in files.ending(".co") if one.startswith(prefix)]
        prompts = [
            one
            for one in files.named("prompts.yml", "prompts.yaml")
            if one[: len(prefix)] == prefix
        ]
        held = {
            "flows": flows,
            "models": value.get("models"),
            "passthrough": value.get("passthrough"),
            "streaming": value.get("streaming"),
            "colang": value.get("colang_version", "1.0"),
            "co": {one: fingerprint(files.text(one)) for one in flow_files},
            "prompts": value.get("prompts") or [files.yaml(one) for one in prompts],
        }
        said = "; ".join(f"{side}: {', '.join(names)}" for side, names in flows.items() if names)
        yield Mechanism(
            kind="rails",
            name=folder or ".",
            place=path,
            fingerprint=fingerprint(held),
            excerpt=excerpt(said or "no flows"),
            detail={"flows": flows},
        )


def _flows(side: Any) -> list[str]:
    listed = side.get("flows") if isinstance(side, dict) else None
    return [str(one) for one in listed] if isinstance(listed, list) else []


def _filters(files: Files) -> Iterator[Mechanism]:
    """Yield the safety parts of pipelines and processors, also null ones: they were taken out."""
    for path in files.named(
        "model_index.json", "preprocessor_config.json", "processor_config.json"
    ):
        value = files.json(path)
        for name, held in value.items() if isinstance(value, dict) else ():
            if "safety" not in str(name).lower() and not GUARD_NAMES.search(str(name)):
                continue
            is_gone = held in (None, False, [None, None])
            yield Mechanism(
                kind="filter",
                name=str(name),
                place=f"{path}#/{name}",
                fingerprint=fingerprint(held),
                excerpt=excerpt(str(held)),
                is_concern=is_gone,
                detail={"is_gone": is_gone},
            )


def _code(files: Files) -> Iterator[Mechanism]:
    """Yield each Python file, with what in it can change what a model says."""
    for path in files.ending(".py"):
        text = files.text(path, most=MAX_CODE_BYTES)
        if text is None:
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            files.fault(path, f"is not Python: {error}")
            continue
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        hooks = sorted(names & HOOKS)
        yield Mechanism(
            kind="remote_code",
            name=path,
            place=path,
            # Comments and layout mean nothing.
            fingerprint=fingerprint(ast.unparse(tree)),
            excerpt=f"uses {', '.join(hooks)}" if hooks else "no hooks seen",
            detail={"hooks": hooks},
        )


def _adapters(files: Files) -> Iterator[Mechanism]:
    """Yield weights that are applied while running: what is judged must be the model with them."""
    for path in files.named("adapter_config.json"):
        value = files.json(path)
        if isinstance(value, dict):
            yield Mechanism(
                kind="adapter",
                name=path,
                place=path,
                fingerprint=fingerprint(value),
                excerpt=f"{value.get('peft_type')}, rank {value.get('r')}",
            )
    for path in files.paths:
        name = path.rpartition("/")[2].lower()
        if name.endswith(".gguf") and ("control" in name or "vector" in name or "cvec" in name):
            size = (files.folder / path).stat().st_size
            yield Mechanism(
                kind="control_vector",
                name=path,
                place=path,
                fingerprint=fingerprint([path, size]),
                excerpt=f"{size:,} B; known by name and size",
                is_concern=True,
            )
