"""Write the report of a comparison: `python -m eval.report --help`."""

from dataclasses import dataclass
from pathlib import Path

from common.cli import run_command
from comparison import load_comparison

from .write import publish_report


@dataclass(frozen=True)
class Arguments:
    """Write a report."""

    folder: Path
    """folder of the comparison, such as out/shakespeare"""


def main(arguments: Arguments) -> None:
    """Write the report and print the table."""
    for line in publish_report(load_comparison(arguments.folder)):
        print(line)


if __name__ == "__main__":
    run_command(main, Arguments, "Write the report of a comparison from the runs that are evaluated.")
