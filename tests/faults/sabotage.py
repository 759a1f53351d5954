"""The trainer with one fault: `sabotage.py WHAT RANK STEP [options of the trainer]`.

drift   from STEP on, RANK has a different learning rate
nan     the STEP-th loss of RANK is NaN, once
still   RANK hangs in STEP, while it makes its batch
ahead   no fault

With the prefix `ahead-`, all ranks begin steps as far ahead as on a GPU.
"""

import os
import sys
import time

import train_ddp
from common.cli import run_command
from training.config import TrainConfig
from training.ranks import end
from training.run_ahead import AHEAD

what, rank, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
del sys.argv[1:4]
if what.startswith("ahead"):
    train_ddp.steps_ahead = lambda *arguments: AHEAD
    what = what.removeprefix("ahead-")
build_model, learning_rate, make_batch = train_ddp.build_model, train_ddp.learning_rate, train_ddp.make_batch
losses = 0


def model_with_one_bad_loss(*arguments):
    def spoil(module, inputs, loss):
        global losses
        losses += module.training
        return loss * float("nan") if module.training and losses == step else loss

    model = build_model(*arguments)
    model.register_forward_hook(spoil)
    return model


def drifting_rate(progress, config):
    global losses
    losses += 1
    return learning_rate(progress, config) * (1.000001 if losses >= step else 1)


def standing_batch(*arguments):
    global losses
    losses += 1
    if losses == step:
        time.sleep(1000)
    return make_batch(*arguments)


if int(os.environ.get("RANK", 0)) == rank:
    if what == "nan":
        train_ddp.build_model = model_with_one_bad_loss
    elif what == "drift":
        train_ddp.learning_rate = drifting_rate
    elif what == "still":
        train_ddp.make_batch = standing_batch
run_command(train_ddp.main, TrainConfig, "The trainer with one fault.", end)
