"""One process or many: who this process is, and what it agrees on with the others."""

import os
import sys
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Ranks:
    """This process among all of the run's. Torchrun says so in the environment; alone it is 0 of 1."""

    rank: int
    world_size: int
    device: str

    @property
    def main(self) -> bool:
        """Whether this is the one process that speaks and writes."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all ranks, in float64; the same on every rank."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def sum_array(self, values: np.ndarray) -> np.ndarray:
        """A 1-d float64 array summed over all ranks; the same on every rank."""
        if self.world_size == 1:
            return values
        total = torch.from_numpy(values).to(self.device)
        dist.all_reduce(total)
        return total.cpu().numpy()

    def most(self, value: float) -> float:
        """The largest of all ranks' values."""
        if self.world_size == 1:
            return value
        largest = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.item()


def pick_device(device: str) -> str:
    """What `auto` means here: cuda where there is one, else cpu.

    Raises:
        ValueError: a GPU is asked for where there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError("device is cuda, and torch finds no GPU: set device to cpu or auto")
    return device if device != "auto" else "cuda" if available else "cpu"


def join(device: str) -> Ranks:
    """Join the other processes, over nccl on GPUs and gloo on CPUs; `device` as for `pick_device`."""
    kind = pick_device(device)
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    if kind == "cuda":
        kind = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(kind)
    if world_size > 1:
        dist.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    return Ranks(int(os.environ.get("RANK", 0)), world_size, kind)


def leave(code: int) -> int:
    """Leave the other processes and return the exit code; one of many ends here and now.

    Gloo's threads may still hold tensors when a process of many ends, and the interpreter's own clean-up
    then aborts it (pytorch pull request 179291): all that is written has been, so it is left out.
    """
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
