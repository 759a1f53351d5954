"""Freeze the code and configuration that jobs use when the jobs are submitted."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from common.cli import as_yaml
from common.files import fingerprint, new_folder, sha256_file, write_file
from common.revision import ROOT
from comparison import Comparison

from .cluster import read_cluster

SUBMIT = """#!/usr/bin/env bash
# Submit the missing jobs of this comparison, with the code and configuration in this folder.
cd {here} || exit
PYTHONPATH={code} PYTHONSAFEPATH=1 exec {python} {code}/compare.py submit {folder}/comparison.yaml \\
  --cluster {folder}/cluster.yaml "$@"
"""


def code_files() -> list[Path]:
    """The files of Codebook that jobs need, relative to `ROOT`: programs and packages without tests."""
    files = [*ROOT.glob("*.py"), *ROOT.glob("REVISION")]
    packages = [init.parent for init in ROOT.glob("*/__init__.py") if init.parent.name != "tests"]
    files += [path for package in packages for path in package.rglob("*") if path.is_file()]
    found = (path.relative_to(ROOT) for path in files if path.name != "cluster.yaml")
    return sorted(path for path in found if "__pycache__" not in path.parts)


def frozen_folder(comparison: Comparison, cluster: Path) -> Path:
    """The folder to which `freeze` copies code and configuration; its name is a hash of the content."""
    code = {str(path): sha256_file(ROOT / path) for path in code_files() if path.name != "REVISION"}
    content = [code, cluster.read_text(), comparison.content()]
    return comparison.folder / "slurm" / fingerprint(content)[:12]


def freeze(comparison: Comparison, cluster: Path, revision: str) -> Path:
    """Copy code and configuration to `frozen_folder`, unless it exists, and return that folder."""
    folder = frozen_folder(comparison, cluster)
    if folder.exists():
        return folder
    with new_folder(folder) as temporary:
        for path in code_files():
            target = temporary / "code" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)
        write_file(temporary / "code" / "REVISION", f"{revision}\n")
        write_file(temporary / "comparison.yaml", as_yaml(comparison.resolved()))
        shutil.copyfile(cluster, temporary / "cluster.yaml")
        write_file(temporary / "environment.sh", read_cluster(cluster).environment(folder / "code"))
        words = {
            "here": os.getcwd(),
            "code": str(folder / "code"),
            "folder": str(folder),
            "python": sys.executable,
        }
        submit = SUBMIT.format(**{name: shlex.quote(word) for name, word in words.items()})
        write_file(temporary / "submit.sh", submit)
    return folder
