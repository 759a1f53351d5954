"""Run programs in separate processes: their output, errors and peak memory.

python -m benchmarks.process COMMAND ...    runs a command, then prints its peak memory in MB
"""

import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from common.errors import Failed


def output_of(command: Sequence[str], **options: Any) -> list[str]:
    """Run a command and return the lines of its output; `options` are those of `subprocess.run`.

    Raises:
        Failed: the command failed, with the last line of its errors, or took too long.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"took longer than {error.timeout:g} s") from None
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return done.stdout.splitlines()


def output_and_peak(command: Sequence[str], **options: Any) -> tuple[list[str], float]:
    """Like `output_of`; also returns the peak memory in MB of the command or one of its child processes.

    A small process starts the command, because the memory of the parent counts as that of the command.
    """
    *lines, peak = output_of([sys.executable, "-m", "benchmarks.process", *command], **options)
    return lines, float(peak)


if __name__ == "__main__":
    code = subprocess.run(sys.argv[1:]).returncode
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
    sys.exit(code)
