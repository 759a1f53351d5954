"""Train a run, and print as JSON the seconds that its checkpoints and its metrics took from training.

    python -m benchmarks.trainer_costs OPTIONS    as for train_ddp.py

1) checkpoints: all time of the training's own thread in `Checkpoints.save`, and the processor time of the
   thread that writes them, which takes a core from training but does not stop it
2) metrics: the time of the training's own thread in `Tracker.log`
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
    """Checkpoints that keep what they took."""

    def save(self, *arguments: Any, **options: Any) -> None:
        """As for checkpoints."""
        took["checkpoints"] += seconds(partial(super().save, *arguments, **options))

    def wait(self) -> None:
        """As for checkpoints, which add the writing thread's processor time to their cost here."""
        cost = self.cost
        super().wait()
        took["checkpoints"] += self.cost - cost


class TimedTracker(Tracker):
    """A tracker that keeps what it took."""

    def log(self, metrics: dict) -> None:
        """As for a tracker."""
        took["metrics"] += seconds(partial(super().log, metrics))


if __name__ == "__main__":
    with patch.multiple(train_ddp, Checkpoints=TimedCheckpoints, Tracker=TimedTracker):
        train_ddp.main(parse(TrainConfig, sys.argv[1:]))
    print(json.dumps(took))
