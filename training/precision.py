"""fp32, or mixed precision: autocast, and for fp16 a gradient scaler."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def best_precision(device: str) -> Precision:
    """What a device does best: bf16 where its hardware has it, else fp16 on a GPU, fp32 on a CPU."""
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def fast_dtype(device: str) -> torch.dtype:
    """bf16 where the hardware has it, else fp32, which is up to a hundred times as fast on a CPU without."""
    return torch.bfloat16 if best_precision(device) == "bf16" else torch.float32


def autocast(device: str, precision: str) -> AbstractContextManager:
    """The context in which the forward pass runs."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.split(":")[0], dtype=DTYPES[precision])


def grad_scaler(device: str, precision: str) -> torch.amp.GradScaler:
    """A scaler that keeps small fp16 gradients from vanishing; it does nothing in other precisions."""
    return torch.amp.GradScaler(device.split(":")[0], enabled=precision == "fp16")
