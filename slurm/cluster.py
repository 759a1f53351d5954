"""The description of a cluster, read from slurm/cluster.yaml."""

import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

OURS = ("array", "dependency", "export", "job-name", "output", "parsable", "kill-on-invalid-dep", "test-only")


@dataclass(frozen=True)
class Cluster:
    """Options of sbatch for each kind of job, and how commands are started."""

    all: dict[str, str] = field(default_factory=dict)
    """sbatch options for every job, by their long names: partition, account, qos, ..."""
    prep: dict[str, str] = field(default_factory=dict)
    """further sbatch options for jobs that make the corpus, tokenizers and arrays"""
    train: dict[str, str] = field(default_factory=dict)
    """further sbatch options for training: nodes, gpus-per-node, time, ..."""
    evaluate: dict[str, str] = field(default_factory=dict)
    """further sbatch options for evaluations"""
    report: dict[str, str] = field(default_factory=dict)
    """further sbatch options for the report"""
    setup: str = "source .venv/bin/activate"
    """bash lines that every job runs first, in the folder of submission"""
    srun: str = ""
    """srun options, such as --container-image with enroot and pyxis"""
    container: str = ""
    """prefix of every command, such as apptainer exec --nv codebook.sif"""
    processes_per_node: int | None = None
    """training processes per node (default: one per GPU, or one without GPUs)"""
    runs_at_once: int | None = None
    """training runs at a time (default: as many as the cluster starts)"""
    corpus_parts: int = 1
    """jobs that share the reading of the source"""
    encode_parts: int = 1
    """jobs that share the encoding of the corpus with one tokenizer"""
    requeues: int = 20
    """times that a job is requeued after it was stopped before its time limit or lost a node"""

    def options(self, kind: str) -> list[str]:
        """The options of sbatch for a kind of job: `prep`, `train`, `evaluate` or `report`."""
        found = {**self.all, **getattr(self, kind)}
        return [f"--{name}={value}" if value else f"--{name}" for name, value in found.items()]

    def environment(self, code: Path) -> str:
        """The bash script that jobs source; `code` is the folder of Codebook."""
        lines = [
            "# shellcheck shell=bash disable=SC2034,SC1091",
            f"code={shlex.quote(str(code))}",
            f"requeues={self.requeues}",
            *([f"processes={self.processes_per_node}"] if self.processes_per_node else []),
            *([f"srun_options=({self.srun})"] if self.srun else []),
            *([f"container=({self.container})"] if self.container else []),
            self.setup.rstrip(),
        ]
        return "".join(f"{line}\n" for line in lines)


def read_cluster(path: Path) -> Cluster:
    """Read the description of a cluster. Values are kept as written: 2:00:00 is not converted to a number.

    Raises:
        ValueError: the file is missing or invalid, has an unknown key, or sets an option of sbatch that is
            reserved.
    """
    if not path.exists():
        raise ValueError(
            f"{path} does not exist: copy slurm/example-gpu.yaml or slurm/example-cpu.yaml to it and fill "
            "in your cluster's partition and account"
        )
    try:
        content = yaml.load(path.read_text(), Loader=yaml.BaseLoader) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    known = {each.name: each for each in fields(Cluster)}
    if not isinstance(content, dict) or (unknown := sorted(set(content) - set(known))):
        what = f"unknown key '{unknown[0]}'" if isinstance(content, dict) else "not a mapping"
        raise ValueError(f"{path}: {what} (keys: {', '.join(known)})")
    values: dict[str, Any] = {
        name: _value(path, name, value, known[name].type) for name, value in content.items()
    }
    return Cluster(**values)


def _value(path: Path, name: str, value: object, wanted: object) -> object:
    """Convert a value of the file to the type of its field."""
    if wanted == dict[str, str]:
        value = value or {}
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValueError(f"{path}: {name} must be a mapping of options of sbatch, such as partition: gpu")
        options = {option.lstrip("-").replace("_", "-"): text for option, text in value.items()}
        if taken := [option for option in options if option in OURS]:
            raise ValueError(f"{path}: {name}.{taken[0]} is set for each job by compare.py: leave it out")
        return {option: "" if text == "true" else text for option, text in options.items()}
    if wanted is str:
        if not isinstance(value, str):
            raise ValueError(f"{path}: {name} must be text")
        return value
    if not isinstance(value, str) or not value.isdecimal() or (int(value) < 1 and name != "requeues"):
        least = 0 if name == "requeues" else 1
        raise ValueError(f"{path}: {name} is {value}: it must be an integer of at least {least}")
    return int(value)
