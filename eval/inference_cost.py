"""What generating text costs: how fast it is, and what the keys and values that are kept take."""

import statistics
import time

import torch

from model import LanguageModel
from model.generate import generate
from model.gpt import GPT

REPETITIONS = 3
TOKENS = 256  # at most


def measure_inference_cost(model: LanguageModel, device: str) -> dict[str, float]:
    """`tokens_per_second` of one text at a time, and `cache_bytes_per_token` of what is kept for each.

    The median of three texts of one block at most, each from one token on, after one that does not count.
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
