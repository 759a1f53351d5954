"""The cost of generating text: speed, and memory of the cached keys and values."""

import statistics
import time

import torch

from model import LanguageModel
from model.generate import generate
from model.gpt import GPT

REPETITIONS = 3
TOKENS = 256  # at most


def measure_inference_cost(model: LanguageModel, device: str) -> dict[str, float]:
    """`tokens_per_second` at batch size 1, and `cache_bytes_per_token` of cached keys and values.

    The speed is the median of three generations of at most one block, each from a single token, after a
    warm-up.
    """
    tokens = min(TOKENS, model.block_size)
    idx = torch.zeros(1, 1, dtype=torch.int64, device=device)
    speeds = []
    with torch.random.fork_rng():
        for _ in range(1 + REPETITIONS):
            started = time.perf_counter()
            generate(model, idx, tokens)[0, -1].item()  # waits for the device
            speeds.append(tokens / (time.perf_counter() - started))
    kept = 0
    if isinstance(model, GPT):
        kept = 2 * len(model.blocks) * model.config.n_embd * next(model.parameters()).element_size()
    return {"tokens_per_second": statistics.median(speeds[1:]), "cache_bytes_per_token": kept}
