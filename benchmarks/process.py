"""Programs in processes of their own: what they print, why they fail and the memory they take.

python -m benchmarks.process COMMAND ...    runs a command, then prints its peak memory in MB
"""

import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import Failed


def output_of(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float | None = None,
) -> list[str]:
    """The lines that a command prints, run in `folder` (default: here), for at most `timeout` seconds.

    Raises:
        Failed: it failed or took too long; says the last line of its errors.
    """
    try:
        done = subprocess.run(command, env=env, cwd=folder, timeout=timeout, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {timeout:g} s") from None
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return done.stdout.splitlines()


def output_and_peak(command: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[list[str], float]:
    """The lines that a command prints, and the most memory in MB that it or one of its processes took.

    A process of few modules starts it: the memory of the one that starts a command counts as the command's.
    """
    *lines, peak = output_of([sys.executable, "-m", "benchmarks.process", *command], env)
    return lines, float(peak)


if __name__ == "__main__":
    code = subprocess.run(sys.argv[1:]).returncode
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
    sys.exit(code)
