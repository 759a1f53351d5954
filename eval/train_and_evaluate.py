"""Train a run and evaluate it in one process: `python -m eval.train_and_evaluate --help`.

The same as train_ddp.py followed by eval.evaluate, without starting Python and importing torch twice.
"""

import train_ddp  # isort: skip  # first: it handles signals before torch is imported

from contextlib import nullcontext
from dataclasses import dataclass

from common.cli import run_command
from training import stop
from training.config import read_config
from training.hardware import keep_freed_memory
from training.lock import lock_folder
from training.ranks import end, join, leave

from .evaluate import Evaluation, evaluate_run


@dataclass(frozen=True, kw_only=True)
class Arguments(Evaluation):
    """Train a run, whose folder has its config.yaml, and evaluate it."""


def main(arguments: Arguments) -> int:
    """Train or resume the run and evaluate it when it is finished; returns the trainer's exit code."""
    keep_freed_memory()
    config = read_config(arguments.run)
    ranks = join(config.execution.device, config.execution.timeout)
    with ranks.together():
        with lock_folder(config.out) if ranks.main else nullcontext():
            ranks.wait()
            code = train_ddp.train(config, ranks)
        if code == 0 and ranks.world_size == 1 and stop.asked():
            code = stop.STOPPED  # asked during the last step: the next call evaluates
        if code == 0:
            stop.no_longer()
            ranks.without_timeout()
            ranks.wait()  # the first one writes the last checkpoint
            evaluate_run(arguments, ranks)
        return leave(code)


if __name__ == "__main__":
    run_command(main, Arguments, "Train a run and evaluate it.", end)
