"""Name the demo's models, its intended use and the licence text that its lawyers pin."""

from pathlib import Path

FOLDER = Path(__file__).parent
CHECKPOINTS = FOLDER / "checkpoints"
METADATA = FOLDER / "metadata"

BASE = "lictor/nano-base"
FINETUNE = "lictor/nano-finetune"
LORA = "lictor/nano-lora"
UNGUARDED = "lictor/nano-unguarded"
NEMOTRON = "nvidia/NVIDIA-Nemotron-Nano-9B-v2"

FOLDERS = {
    BASE: CHECKPOINTS / "nano-base",
    FINETUNE: CHECKPOINTS / "nano-finetune",
    LORA: CHECKPOINTS / "nano-lora",
    UNGUARDED: CHECKPOINTS / "nano-unguarded",
}
NEMOTRON_FOLDER = METADATA / "nvidia-nemotron-nano-9b-v2"

RELATIONS = {FINETUNE: "finetune", LORA: "adapter", UNGUARDED: "finetune"}

PIN = "nvidia-open-model-2025-10-24"
PIN_REASON = (
    "The card links the unversioned agreement page. Legal read the page at intake and lays down "
    "the text of 24 October 2025 (in the demo organisation, as a worked example)."
)

USE = {
    "purposes": ["hosted_service"],
    "commercial": True,
    "monthly_active_users": 20_000,
    "annual_revenue_usd": 5_000_000,
    "jurisdictions": ["DE", "US"],
    "domains": ["customer_support"],
}
