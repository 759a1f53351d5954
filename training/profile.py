"""A profile of a few training steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity

FIRST, STEPS = 3, 3  # steps to skip, because the first ones are slow, and steps to profile


class Profile:
    """A trace of a few steps for Perfetto, and a table of the ten most expensive operations."""

    def __init__(self, path: Path, enabled: bool) -> None:
        self.path, self.enabled, self.number = path, enabled, 0
        self.profiler: torch.profiler.profile | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one training step, which is profiled if it is one of the steps to profile."""
        if self.enabled and self.number == FIRST:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
                torch.cuda.synchronize()  # finish earlier steps, which are not profiled
            self.profiler = torch.profiler.profile(activities=activities)
            self.profiler.start()
        yield
        self.number += 1
        if self.number == FIRST + STEPS:
            self.close()

    def close(self) -> None:
        """Write the trace and print the table, if any step was profiled."""
        if self.profiler is None:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.profiler.stop()
        self.profiler.export_chrome_trace(str(self.path))
        device = "device" if torch.cuda.is_available() else "cpu"
        # Microseconds, without those of nested operations
        took = {e.key: getattr(e, f"self_{device}_time_total") for e in self.profiler.key_averages()}
        calls = {e.key: e.count for e in self.profiler.key_averages()}
        print(f"{'ten most expensive operations':50}{'ms/step':>10}{'share':>8}{'calls':>8}")
        for key in sorted(took, key=took.__getitem__, reverse=True)[:10]:
            ms, share = took[key] / 1000 / STEPS, took[key] / sum(took.values())
            print(f"{key[:49]:50}{ms:>10.2f}{share:>8.1%}{calls[key] / STEPS:>8.0f}")
        print(f"codebook: wrote the trace to {self.path} (open it in https://ui.perfetto.dev)")
        self.profiler = None
