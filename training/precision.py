"""fp32 and mixed precision: autocast, and a gradient scaler for fp16."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def best_precision(device: str) -> Precision:
    """The fastest precision of a device: bf16 if the hardware has it, else fp16 on a GPU, fp32 on a CPU."""
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def fast_dtype(device: str) -> torch.dtype:
    """bf16 if the hardware has it, else fp32: emulated bf16 is up to 100 times slower on a CPU."""
    return torch.bfloat16 if best_precision(device) == "bf16" else torch.float32


def autocast(device: str, precision: str) -> AbstractContextManager:
    """The context in which the forward pass runs."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.split(":")[0], dtype=DTYPES[precision])


def grad_scaler(device: str, precision: str) -> torch.amp.GradScaler:
    """A scaler that prevents underflow of fp16 gradients; it does nothing in other precisions."""
    return torch.amp.GradScaler(device.split(":")[0], enabled=precision == "fp16")
