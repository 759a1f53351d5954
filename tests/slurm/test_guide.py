"""The commands for a cluster that README.md and docs/ show, given in turn on a real one."""

import re

import pytest
import yaml

from ..documents import ON_A_CLUSTER, PAGES, Checkout, commands
from ..wandb.server import WandbServer, environment
from .conftest import SETUP
from .toy import call, wait_for

NOT_RUN = {r"sacctmgr .*": "needs Slurm's accounting, which a small cluster has not"}
CLUSTER = {"setup": SETUP, "train": {"nodes": "1", "gpus-per-node": "1"}}
FEWER = {"--gpus-per-node=8": "--gpus-per-node=1", "--array=1-24%8": "--array=1-2%2"}  # as the cluster has


def on_a_cluster() -> list[str]:
    """These commands of all pages, each page from its top; what cancels or sends comes last."""
    found = [command for page in PAGES for command in commands(page) if ON_A_CLUSTER.match(command)]
    found = [
        command for command in dict.fromkeys(found) if not any(re.fullmatch(no, command) for no in NOT_RUN)
    ]
    return sorted(found, key=lambda command: " cancel " in command or "sync" in command)


@pytest.mark.extended
@pytest.mark.usefixtures("toy")
def test_every_command_for_a_cluster_can_be_given(tmp_path):
    checkout = Checkout(tmp_path / "codebook")
    (checkout.folder / "slurm" / "cluster.yaml").write_text(yaml.safe_dump(CLUSTER))
    (checkout.folder / "slurm" / "environment.sh").write_text(f"{SETUP}\n")
    with WandbServer() as server:
        login = environment(server.url, tmp_path / "home")
        del login["WANDB_DIR"]  # beside the runs, as for everybody
        for command in on_a_cluster():
            for eight, few in FEWER.items():
                command = command.replace(eight, few)
            command = re.sub(r"^sbatch ", "sbatch --wait ", command)  # fails where the job fails
            checkout.run(command, **(login if "sync" in command else {}))
            wait_for(lambda: not call("squeue", "--noheader").stdout.strip(), f"the jobs of {command}")
    assert (checkout.folder / "out/shakespeare/report/report.html").exists()
    assert len(server.runs) >= 2
