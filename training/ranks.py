"""One process or many: who this process is, and what it agrees on with the others."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from common.errors import Failed

from .watchdog import Watchdog


@dataclass(frozen=True)
class Ranks:
    """This process among all of the run's. Torchrun says so in the environment; alone it is 0 of 1."""

    rank: int
    world_size: int
    device: str
    watchdog: Watchdog | None = None

    @property
    def main(self) -> bool:
        """Whether this is the one process that speaks and writes."""
        return self.rank == 0

    def beat(self, doing: str) -> None:
        """All ranks have agreed; this one is `doing` that next. Called again within the time-out."""
        if self.watchdog:
            self.watchdog.beat(doing)

    def without_timeout(self) -> None:
        """What follows may take any time without a `beat`."""
        if self.watchdog:
            self.watchdog.timeout = math.inf

    @contextmanager
    def alone(self, doing: str) -> Iterator[None]:
        """What this rank does while the others may wait for it, such as "reading a batch"."""
        if self.watchdog:
            self.watchdog.alone = doing
        yield
        if self.watchdog:
            self.watchdog.alone = ""

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails on one rank ends all of them, and one of them says why."""
        try:
            yield
        except Exception as error:
            if self.watchdog:
                self.watchdog.failed(error)
            raise

    def wait(self) -> None:
        """Return when all ranks have called this."""
        if self.world_size > 1:
            dist.barrier()

    def first(self, value: float) -> float:
        """The main rank's value, in float64; the same on every rank."""
        if self.world_size == 1:
            return value
        total = torch.tensor(value if self.main else 0.0, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.item()

    def add_up(self, values: torch.Tensor) -> None:
        """Sum a tensor over all ranks in place, on the device; the host does not wait for a GPU."""
        if self.world_size > 1:
            dist.all_reduce(values)

    def gather_rows(self, own: torch.Tensor) -> torch.Tensor:
        """Every rank's tensor, all of one shape, one after the other along the first dimension."""
        found = own.new_empty(self.world_size * len(own), *own.shape[1:])
        dist.all_gather(list(found.split(len(own))), own.contiguous())
        return found

    def sum_array(self, values: np.ndarray) -> np.ndarray:
        """A 1-d float64 array summed over all ranks; the same on every rank."""
        if self.world_size == 1:
            return values
        total = torch.from_numpy(values).to(self.device)
        dist.all_reduce(total)
        return total.cpu().numpy()

    def gather(self, value: float) -> list[float]:
        """Every rank's value, in order: exact for an int, and in float64 else."""
        if self.world_size == 1:
            return [value]
        dtype = torch.int64 if isinstance(value, int) else torch.float64
        values = [torch.zeros(1, dtype=dtype, device=self.device) for _ in range(self.world_size)]
        dist.all_gather(values, torch.tensor([value], dtype=dtype, device=self.device))
        return torch.cat(values).tolist()

    def check_equal(self, model: nn.Module, step: int) -> None:
        """Whether all ranks hold the same weights, to the last bit.

        Raises:
            Failed: they do not; says which differ from the first.
        """
        if self.world_size == 1:
            return
        bits = [p.detach().view(torch.int32).sum(dtype=torch.int64) for p in model.parameters()]
        first, *others = self.gather(int(torch.stack(bits).sum().item()))
        if differs := [f"rank {rank}" for rank, sum_ in enumerate(others, start=1) if sum_ != first]:
            raise Failed(
                f"after step {step} the weights of {' and '.join(differs)} are not those of rank 0: "
                "the last checkpoint may hold them already; look for faulty hardware"
            )

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


def join(device: str, timeout: float | None = None) -> Ranks:
    """Join the other processes, over nccl on GPUs and gloo on CPUs; `device` as for `pick_device`.

    With a `timeout` in seconds a watchdog ends this rank when it has not called `beat` for so long.
    """
    kind = pick_device(device)
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    if kind == "cuda":
        kind = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(kind)
    rank, watchdog = int(os.environ.get("RANK", 0)), None
    if world_size > 1:
        watchdog = Watchdog(rank, world_size, timeout) if timeout else None
        # Later than the watchdog, which can say who is missing
        patience = timedelta(seconds=timeout + 60) if timeout else dist.default_pg_timeout
        backend = "nccl" if kind.startswith("cuda") else "gloo"
        store = meeting_place(rank == 0, patience)
        dist.init_process_group(
            backend,
            store=store,
            rank=rank,
            world_size=world_size,
            timeout=patience,
            device_id=torch.device(kind) if backend == "nccl" else None,  # of barriers, too
        )
        if watchdog:
            watchdog.meet(meeting_place(False, timedelta(seconds=10)))
    return Ranks(rank, world_size, kind, watchdog)


def meeting_place(host: bool, patience: timedelta) -> dist.Store:
    """The store by which the ranks meet: torchrun's, or one that the rank that is to `host` it starts.

    Torchrun keeps its store when it starts the ranks again, with the addresses of those that are gone; so
    every start has keys of its own.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    host = host and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = dist.TCPStore(address, port, is_master=host, timeout=patience, wait_for_workers=False)
    return dist.PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def leave(code: int) -> int:
    """Leave the other processes, which do so too, and return the exit code."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    return code


def end(code: int) -> NoReturn:
    """End the process here and now.

    Gloo's threads may still hold tensors when a process of many ends, and the interpreter's own clean-up
    then aborts it (pytorch pull request 179291); a wandb that does not answer would be waited for. All that
    is written has been, so the clean-up is left out.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
