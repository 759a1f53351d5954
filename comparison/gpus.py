"""Which GPUs each of the runs takes that train at a time on this machine."""

import os
from collections.abc import Sequence

import torch


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them: by number or by UUID."""
    inherited = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()  # CUDA ignores what follows the first name that it does not know
    names = inherited.split(",") if inherited else list(map(str, range(count)))
    return [name.strip() for name in names][:count]


def assign_gpus(gpus: Sequence[str], processes: int, jobs: int | None = None) -> list[str]:
    """The value of `CUDA_VISIBLE_DEVICES` for each of the runs at a time, `processes` GPUs each.

    There are as many runs at a time as there are GPUs for, or so many `jobs`; where those are more, several
    share GPUs, as evenly as can be.

    Raises:
        ValueError: a run has more processes than there are GPUs; no two processes of a run can share one.
    """
    groups = len(gpus) // processes
    if not groups:
        raise ValueError(
            f"processes is {processes}, and there are {len(gpus)} GPUs here: "
            "set processes to at most as many, or execution.device to cpu"
        )
    own = [",".join(gpus[group * processes : (group + 1) * processes]) for group in range(groups)]
    return [own[job % groups] for job in range(jobs or groups)]
