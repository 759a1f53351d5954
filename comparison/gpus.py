"""GPUs for runs that train at the same time on this machine."""

import os
from collections.abc import Sequence

import torch


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as named in `CUDA_VISIBLE_DEVICES`: by number or by UUID."""
    inherited = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()  # CUDA ignores all names after the first unknown one
    names = inherited.split(",") if inherited else list(map(str, range(count)))
    return [name.strip() for name in names][:count]


def assign_gpus(gpus: Sequence[str], processes: int, jobs: int | None = None) -> list[str]:
    """The value of `CUDA_VISIBLE_DEVICES` for each simultaneous run, with `processes` GPUs each.

    There are `jobs` runs at a time (default: as many as the GPUs allow). With more than the GPUs allow, runs
    share GPUs as evenly as possible.

    Raises:
        ValueError: a run has more processes than there are GPUs; processes of a run cannot share a GPU.
    """
    groups = len(gpus) // processes
    if not groups:
        raise ValueError(
            f"processes is {processes}, but this machine has {len(gpus)} GPUs: "
            "lower processes, or set execution.device to cpu"
        )
    own = [",".join(gpus[group * processes : (group + 1) * processes]) for group in range(groups)]
    return [own[job % groups] for job in range(jobs or groups)]
