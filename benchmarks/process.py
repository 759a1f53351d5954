"""Programs in processes of their own: what they print, why they fail and the memory they take.

python -m benchmarks.process COMMAND ...    runs a command, then prints its peak memory in MB
"""

import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from common.errors import Failed


def output_of(command: Sequence[str], **options: Any) -> list[str]:
    """The lines that a command prints; `options` are those of `subprocess.run`.

    Raises:
        Failed: it failed or took too long; says the last line of its errors.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"took longer than {error.timeout:g} s") from None
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return done.stdout.splitlines()


def output_and_peak(command: Sequence[str], **options: Any) -> tuple[list[str], float]:
    """As `output_of`, and the most memory in MB that the command or one of its processes took.

    A process of few modules starts it: the memory of the one that starts a command counts as the command's.
    """
    *lines, peak = output_of([sys.executable, "-m", "benchmarks.process", *command], **options)
    return lines, float(peak)


if __name__ == "__main__":
    code = subprocess.run(sys.argv[1:]).returncode
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
    sys.exit(code)
