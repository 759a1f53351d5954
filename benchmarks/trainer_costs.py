"""Train a run, and print as JSON the seconds that checkpoints and metrics cost.

    python -m benchmarks.trainer_costs OPTIONS    options of train_ddp.py

1) checkpoints: the time of the main thread in `Checkpoints.save`, and the processor time of the thread that
   writes them, which uses a core but does not stop training
2) metrics: the time of the main thread in `Tracker.log`
"""

import json
import sys
from functools import partial
from typing import Any
from unittest.mock import patch

import train_ddp
from common.cli import parse
from training.checkpoint import Checkpoints
from training.config import TrainConfig
from training.tracking import Tracker

from .table import seconds

took = {"checkpoints": 0.0, "metrics": 0.0}


class TimedCheckpoints(Checkpoints):
    """Checkpoints whose cost is added up."""

    def save(self, *arguments: Any, **options: Any) -> None:
        """See `Checkpoints.save`."""
        took["checkpoints"] += seconds(partial(super().save, *arguments, **options))

    def wait(self) -> None:
        """See `Checkpoints.wait`, which adds the processor time of the writing thread to `cost`."""
        cost = self.cost
        super().wait()
        took["checkpoints"] += self.cost - cost


class TimedTracker(Tracker):
    """A tracker whose cost is added up."""

    def log(self, metrics: dict) -> None:
        """See `Tracker.log`."""
        took["metrics"] += seconds(partial(super().log, metrics))


if __name__ == "__main__":
    with patch.multiple(train_ddp, Checkpoints=TimedCheckpoints, Tracker=TimedTracker):
        train_ddp.main(parse(TrainConfig, sys.argv[1:]))
    print(json.dumps(took))
