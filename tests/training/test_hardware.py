"""The peak of a device: from a data sheet or measured, never guessed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.hardware import peak_flops, peak_memory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gpu(monkeypatch):
    """A function that sets the GPU's name, as torch reports it."""
    return lambda name: monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L40", 181),
        ("NVIDIA L4", 121),
        ("NVIDIA A10", 125),
        ("Tesla V100-SXM2-16GB", 125),
        ("NVIDIA GeForce RTX 4090", 165),
    ],
)
def test_a_known_gpu_has_the_peak_of_its_data_sheet(gpu, name, teraflops):
    gpu(name)
    assert peak_flops("cuda:0", "bf16") == (teraflops * 1e12, f"{name}, data sheet")


@pytest.mark.parametrize(
    "name", ["NVIDIA A10G", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GB10", "Radeon"]
)
def test_an_unknown_gpu_has_no_peak(gpu, name):
    gpu(name)
    assert peak_flops("cuda:0", "bf16") == (None, f"unknown for {name} in bf16")


def test_the_peak_of_the_matrix_units_does_not_apply_to_fp32(gpu):
    gpu("NVIDIA H100 80GB HBM3")
    assert peak_flops("cuda:0", "fp32")[0] is None


def test_the_peak_of_a_cpu_is_measured():
    peak, source = peak_flops("cpu", "fp32")
    assert peak > 1e8
    assert "measured" in source


def test_peak_memory_does_not_include_that_of_the_parent_process():
    code = "from training.hardware import peak_memory; print(peak_memory('cpu'))"
    parent = (
        "import subprocess, sys; held = b'x' * 2_000_000_000\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    )
    command = [sys.executable, "-c", parent, code]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 50_000_000 < float(printed) < 1_500_000_000


def test_peak_memory_is_in_bytes():
    taken = bytearray(b"x" * 300_000_000)
    assert len(taken) <= peak_memory("cpu") <= 2**40


FAULTS = """
import resource, sys, torch
from training.hardware import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    torch.ones(64, 1 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun)
"""


@pytest.mark.extended
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_reused_without_returning_it_to_the_kernel():
    def faults(what):
        command = [sys.executable, "-c", FAULTS, what]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("kept") < faults("returned") / 2
