"""The version of the code, and where it lies."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the checkout, or of the copy that jobs run


def code_revision() -> str:
    """The git revision of the code, and whether it was changed since; "unknown" where nothing says so."""
    if (ROOT / "REVISION").exists():  # a copy, made for jobs on a cluster
        return (ROOT / "REVISION").read_text().strip()
    changed = " with local changes" if _git("status", "--porcelain") else ""
    return (_git("rev-parse", "HEAD") or "unknown") + changed


def _git(*arguments: str) -> str:
    """What git says of the checkout this file is in; empty where there is none."""
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
