"""transformers' `generate` as a process: `python -m bench.transformers_peer DIR DTYPE THREADS`.

Reads {"prompts", "new_tokens"} from standard input, one line a batch, and answers with the same
streams as the load generator: the time of every token is when it reaches a streamer.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Stamps:
    """Stamp each step of `generate`: it calls a streamer's `put` for the prompt, then each token.

    Not transformers' own streamer, which takes one sequence only.
    """

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Called when generation is over."""


def generate(
    model: Any, tokenizer: Any, prompts: list[str], new_tokens: int
) -> list[dict[str, Any]]:
    """Generate for equally long prompts as one batch; greedy, exactly `new_tokens` each."""
    began = time.perf_counter()
    ids = torch.tensor([tokenizer(text).input_ids for text in prompts])
    stamps = Stamps()
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=None,
            streamer=stamps,
        )
    new = out[:, ids.shape[1] :].tolist()
    events = [at - began for at in stamps.times[1:]]
    if len(events) != new_tokens:
        raise RuntimeError(f"{len(events)} steps were seen for {new_tokens} tokens")
    return [
        {
            "sent": 0.0,
            "events": events,
            "text": tokenizer.decode(row, skip_special_tokens=True),
            "prompt_tokens": ids.shape[1],
            "completion_tokens": len(row),
        }
        for row in new
    ]


def main(folder: str, dtype: str, threads: str) -> int:
    torch.set_num_threads(int(threads))
    tokenizer = AutoTokenizer.from_pretrained(Path(folder))
    model = AutoModelForCausalLM.from_pretrained(Path(folder), dtype=DTYPES[dtype]).eval()
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = None
    print(json.dumps({"state": "ready"}), flush=True)
    for line in sys.stdin:
        spec = json.loads(line)
        streams = generate(model, tokenizer, spec["prompts"], spec["new_tokens"])
        print(json.dumps({"streams": streams}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
