"""The CPU's own kernels held to transformers and to random schedules: the same tests, fused.

Imported tests run here on this module's fixtures.
"""

import shutil
from typing import Any

import pytest
import torch

from inference.layers import packed
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH
from tests.inference import test_nemotron_h as parity
from tests.inference import test_schedules as schedules
from tests.inference.test_engine import CONFIG
from tests.inference.test_nemotron_h import (
    test_a_prompt_in_pieces_equals_the_prompt_at_once,
    test_a_ragged_prefill_gives_each_row_the_logits_transformers_gives_it_alone,
    test_a_reused_seat_remembers_nothing_of_its_former_tenant,
    test_a_step_leaves_sequences_outside_the_batch_untouched,
    test_decoding_token_by_token_equals_the_whole_forward,
    test_pieces_of_different_sequences_at_different_places_are_read_together,
    test_two_hundred_greedy_tokens_are_those_of_transformers,
    test_who_else_is_in_the_batch_does_not_change_a_sequence,
)
from tests.inference.test_schedules import (
    test_every_sequence_says_what_it_says_alone_whatever_the_schedule,
)

__all__ = [
    "test_a_prompt_in_pieces_equals_the_prompt_at_once",
    "test_a_ragged_prefill_gives_each_row_the_logits_transformers_gives_it_alone",
    "test_a_reused_seat_remembers_nothing_of_its_former_tenant",
    "test_a_step_leaves_sequences_outside_the_batch_untouched",
    "test_decoding_token_by_token_equals_the_whole_forward",
    "test_every_sequence_says_what_it_says_alone_whatever_the_schedule",
    "test_pieces_of_different_sequences_at_different_places_are_read_together",
    "test_two_hundred_greedy_tokens_are_those_of_transformers",
    "test_who_else_is_in_the_batch_does_not_change_a_sequence",
]

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler"
)
_one_thread = parity._one_thread
weights = parity.weights
theirs = parity.theirs


def plain(raw: dict[str, Any]) -> NemotronH:
    made = NemotronH(NemotronHConfig.from_dict(raw)).eval()
    return made.requires_grad_(requires_grad=False)


def fused(made: NemotronH) -> NemotronH:
    """Fuse everything, however small its matrices are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_LEAST_FP32_VALUES", 0)
        assert made.fuse()
    assert not any(isinstance(one, torch.nn.Linear) for one in made.modules())
    mixers = [layer.mixer for layer in made.backbone.layers if hasattr(layer.mixer, "fused")]
    assert mixers
    assert all(mixer.fused for mixer in mixers)
    return made


@pytest.fixture(scope="module")
def ours(weights: dict[str, torch.Tensor]) -> NemotronH:
    assert parity.RAW["ssm_state_size"] == 16
    model = plain(parity.RAW)
    model.load_tensors(weights)
    return fused(model)


@pytest.fixture(scope="module")
def model() -> NemotronH:
    torch.manual_seed(3)
    made = plain({**CONFIG, "ssm_state_size": 16})
    for name, parameter in made.named_parameters():
        if parameter.dim() >= 2 and "conv" not in name:
            torch.nn.init.normal_(parameter, std=0.25)
    return fused(made)


def test_the_kernels_are_what_runs_here(model: NemotronH, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise RuntimeError("a kernel of our own was called")

    monkeypatch.setattr(torch.ops.lictor, "scan", refuse)
    work = schedules.desk(model, slots=1, blocks=12, prefill=16)
    work.scheduler.add(schedules.sequence_of(1, 5, 2))
    with pytest.raises(RuntimeError, match="of our own was called"):
        work.step()
