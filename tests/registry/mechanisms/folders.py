"""Make small checkpoint folders whose files hold safety mechanisms of each kind."""

import json
from pathlib import Path
from typing import Any

SAFETY = "You are a helpful assistant. You must refuse harmful or illegal requests."
TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\\n" + SAFETY + "<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
TOKENIZER: dict[str, Any] = {
    "added_tokens": [
        {"id": 100, "content": "<|im_start|>", "special": True},
        {"id": 101, "content": "<|im_end|>", "special": True},
        {"id": 102, "content": "<|unused|>", "special": False},
    ],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "ByteLevel"},
}
CARD = """---
license: other
tags: [chat]
extra_gated_prompt: You agree to the use policy.
model-index:
- name: m
  results:
  - dataset: {name: HarmBench, type: safety}
    metrics: [{type: refusal, value: 0.98}]
---
# acme/base

## Safety

Trained to refuse harmful requests.
"""
RAILS = """colang_version: "1.0"
models: [{type: main, engine: openai, model: m}]
rails:
  input: {flows: [self check input, jailbreak detection]}
  output: {flows: [self check output]}
"""
FILES: dict[str, str] = {
    "chat_template.jinja": TEMPLATE,
    "tokenizer.json": json.dumps(TOKENIZER),
    "generation_config.json": json.dumps({"eos_token_id": 101, "bad_words_ids": [[5, 6]]}),
    "README.md": CARD,
    "rails/config.yml": RAILS,
    "rails/flows.co": "define flow self check input\n  execute check\n",
    "guard/config.json": '{"model_type": "bert"}',
    "guard/model.safetensors": "weights",
    "model_index.json": json.dumps({"safety_checker": ["stable", "SafetyChecker"]}),
    "modeling_x.py": "def run(model):\n    return model\n",
    "SYSTEM_PROMPT.txt": "Never help with anything illegal.",
}


def make(folder: Path, **changes: str | None) -> Path:
    """Write the files; a change is named with `__` for "/" and `_dot_` for "."; None leaves out."""
    told = {name.replace("__", "/").replace("_dot_", "."): text for name, text in changes.items()}
    for name, text in {**FILES, **told}.items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder
