"""What a device can do at most, to tell how much of it a run uses."""

import ctypes
import re
import sys
import time
from pathlib import Path

import torch

from .precision import DTYPES

# Dense FLOP/s of the matrix units with bf16 or fp16 inputs, without sparsity, from the vendor's data sheets
# (nvidia.com, "<name> data sheet"). The first of these names in the device's own decides.
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 150e12,
    "A10": 125e12,
    "RTX A6000": 155e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
    "T4": 65e12,
}


def peak_flops(device: str, precision: str) -> tuple[float | None, str]:
    """FLOP/s that a device can do at most in a precision, and where the figure is from; None: unknown.

    A CPU's is what its threads reach in one large matmul, measured here in a tenth of a second.
    """
    if device == "cpu":
        return measured_matmul(DTYPES.get(precision, torch.float32)), "a matmul of 1024 x 1024, measured"
    name = torch.cuda.get_device_name(device)
    words = r"\b{}\b(?!.*Laptop)"  # an A10G is no A10, and a laptop's chip not what its name says
    known = next((peak for part, peak in PEAKS.items() if re.search(words.format(part), name)), None)
    if known is None or precision == "fp32":
        return None, f"unknown for {name} in {precision}"
    return known, f"{name}, data sheet"


def measured_matmul(dtype: torch.dtype, size: int = 1024) -> float:
    """FLOP/s of the best of several square matmuls on the CPU."""
    a, b = torch.randn(2, size, size).to(dtype)
    best = float("inf")
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end or best == float("inf"):
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for what is needed next.

    It would give large blocks back to the kernel, which hands out cleared pages again in every step: on a
    CPU it took a quarter longer then, at a vocabulary of 8192 (docs/performance.md).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # not so in musl
            trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1
            libc.mallopt(trim_threshold, most)
            libc.mallopt(mmap_threshold, most) or libc.mallopt(mmap_threshold, 1 << 25)  # before glibc 2.35


def peak_memory(device: str) -> float:
    """Bytes that this process has taken at most: of the GPU's memory, or of the machine's."""
    if device != "cpu":
        return float(torch.cuda.max_memory_allocated(device))
    import resource

    if sys.platform == "darwin":
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    # Not ru_maxrss, which begins with what the process that started this one had taken
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return float(status["VmHWM"].split()[0]) * 1024
