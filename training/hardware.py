"""Peak FLOP/s and memory of a device, from which a run's utilisation is computed."""

import ctypes
import re
import sys
import time
from pathlib import Path

import torch

from .precision import DTYPES

# Dense FLOP/s of the matrix units with bf16 or fp16 inputs, without sparsity, from the vendor's data sheets
# (nvidia.com, "<name> data sheet"). The first name that occurs in the device's own name applies.
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
    """Peak FLOP/s of a device in a precision, or None if unknown, and the source of the figure.

    The peak of a CPU is what its threads reach in one large matmul, measured in a tenth of a second.
    """
    if device == "cpu":
        return measured_matmul(DTYPES.get(precision, torch.float32)), "measured with a 1024 x 1024 matmul"
    name = torch.cuda.get_device_name(device)
    words = r"\b{}\b(?!.*Laptop)"  # an A10G is not an A10; a laptop chip is slower than its namesake
    known = next((peak for part, peak in PEAKS.items() if re.search(words.format(part), name)), None)
    if known is None or precision == "fp32":
        return None, f"unknown for {name} in {precision}"
    return known, f"{name}, data sheet"


def measured_matmul(dtype: torch.dtype, size: int = 1024) -> float:
    """FLOP/s of the fastest of several square matmuls on the CPU."""
    a, b = torch.randn(2, size, size).to(dtype)
    best = float("inf")
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end or best == float("inf"):
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next allocation.

    By default it returns large blocks to the kernel, which clears their pages again in every step. On a CPU,
    with a vocabulary of 8192, a step then took a quarter longer (docs/performance.md).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # musl has none
            trim_threshold, mmap_threshold, most = -1, -3, 2**31 - 1
            libc.mallopt(trim_threshold, most)
            libc.mallopt(mmap_threshold, most) or libc.mallopt(mmap_threshold, 1 << 25)  # before glibc 2.35


def peak_memory(device: str) -> float:
    """Peak memory of this process in bytes: on the GPU, or of the machine if the device is the CPU."""
    if device != "cpu":
        return float(torch.cuda.max_memory_allocated(device))
    import resource

    if sys.platform == "darwin":
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    # Not ru_maxrss, which starts at the memory of the parent process
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return float(status["VmHWM"].split()[0]) * 1024
