"""A wandb that cannot be reached, or answers nothing, costs a run neither a step nor its end."""

import json
import socket
import threading
import time

import pytest

from training.tracking import read_metrics

ONLINE = {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online"}


@pytest.fixture
def silent_server():
    """A server that takes every connection, and never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken = []

    def take():
        while True:
            try:
                taken.append(listener.accept()[0])
            except OSError:
                return

    threading.Thread(target=take, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert taken, "nobody has asked"
    listener.close()


def test_a_server_that_never_answers_is_not_waited_for(new_run, silent_server):
    whole = new_run("whole").finish()
    run = new_run().start("--wandb=online", WANDB_BASE_URL=silent_server, **ONLINE)
    run.wait_for_step(300)
    recorded = time.monotonic()
    code, output = run.end()
    assert code == 0, output
    assert time.monotonic() - recorded < 15  # 10 seconds for wandb, and the test's own steps
    assert run.result() == whole.result()
    slowest = max(line["train_seconds"] / line["step"] for line in read_metrics(run.folder / "metrics.jsonl"))
    assert slowest < 1, json.dumps(slowest)


def test_no_server_at_all_makes_the_run_an_offline_one(new_run):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    run = new_run().start("--wandb=online", WANDB_BASE_URL=nobody, **ONLINE)
    code, output = run.end()
    assert code == 0, output
    assert run.state()["finished"]
