"""The version of the code, and its folder."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the checkout, or of the copy that jobs run


def code_revision() -> str:
    """The git revision of the code, and whether it has local changes; "unknown" if it cannot be found."""
    if (ROOT / "REVISION").exists():  # a copy, made for jobs on a cluster
        return (ROOT / "REVISION").read_text().strip()
    changed = " with local changes" if _git("status", "--porcelain") else ""
    return (_git("rev-parse", "HEAD") or "unknown") + changed


def _git(*arguments: str) -> str:
    """Git's output about the checkout of this file; empty if it is not a checkout."""
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
