"""Describe the repositories that the tests import, in the shapes that real ones have."""

import json
from typing import Any

import yaml

from tests.build import safetensors
from tests.registry.hub.fake_hub import FakeHub, Repo

NEMOTRON = "nvidia/NVIDIA-Nemotron-Nano-9B-v2"
BASE = "nvidia/NVIDIA-Nemotron-Nano-12B-v2-Base"
NEMOTRON_CARD = {
    "license": "other",
    "license_name": "nvidia-open-model-license",
    "license_link": "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/",
    "pipeline_tag": "text-generation",
    "language": ["en", "es", "fr", "de", "it", "ja"],
    "library_name": "transformers",
    "track_downloads": True,
    "base_model": [BASE],
    "datasets": ["nvidia/Nemotron-Post-Training-Dataset-v1"],
    "tags": ["nvidia", "pytorch"],
}
NEMOTRON_BODY = (
    "# NVIDIA-Nemotron-Nano-9B-v2\n\n## License/Terms of Use\n\n"
    "GOVERNING TERMS: Use of this model is governed by the NVIDIA Open Model License Agreement.\n"
)
# Infinity stands so in the real file, and the strict reader must not be what changes it.
NEMOTRON_CONFIG = (
    b'{"architectures": ["NemotronHForCausalLM"], "auto_map": {"AutoConfig": '
    b'"configuration_nemotron_h.NemotronHConfig"}, "time_step_limit": [0.0, Infinity]}'
)
GATE = "### LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\nLlama 3.1 Version Release Date: July 23, 2024\n"


def card(fields: dict[str, Any], body: str = "# A model\n") -> bytes:
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True)}---\n{body}".encode()


def add_nemotron(hub: FakeHub, **more: Any) -> Repo:
    """Add the founding case: custom licence, no licence file, remote code in its config."""
    files = {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": card(NEMOTRON_CARD, NEMOTRON_BODY),
        "config.json": NEMOTRON_CONFIG,
        "configuration_nemotron_h.py": b"# its own code\n",
        "model-00001-of-00002.safetensors": safetensors(8, salt=1),
        "model-00002-of-00002.safetensors": safetensors(8, salt=2),
        "privacy.md": b"no personal data\n",
    }
    hub.datasets["nvidia/Nemotron-Post-Training-Dataset-v1"] = {"license": "cc-by-4.0"}
    hub.add(BASE, {"README.md": card({"license": "other", "license_name": "nvidia-open-model"})})
    bases = {"relation": "finetune", "models": [{"_id": "1" * 24, "id": BASE}]}
    return hub.add(NEMOTRON, files, base_models=bases, **more)


def add_llama(hub: FakeHub, *, token: str | None = "hf_member") -> Repo:
    files = {
        "README.md": card(
            {
                "license": "llama3.1",
                "extra_gated_prompt": GATE,
                "extra_gated_fields": {"Name": "text"},
            }
        ),
        "LICENSE": b"LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n",
        "USE_POLICY.md": b"# Llama 3.1 Acceptable Use Policy\n",
        "model.safetensors": safetensors(4, salt=7),
    }
    return hub.add("meta-llama/Llama-3.1-8B", files, gated="manual", token=token)


def small(**more: bytes) -> dict[str, bytes]:
    return {
        "README.md": card({"license": "mit"}),
        "LICENSE": b"MIT License\n",
        "config.json": json.dumps({"model_type": "x"}).encode(),
        "model.safetensors": safetensors(4),
        **more,
    }
