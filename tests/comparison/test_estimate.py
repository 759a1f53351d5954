"""The cost of a run is measured on the same kind of run."""

from pathlib import Path

import pytest

from comparison import estimate
from training.budget import Budget, TextAmount
from training.config import ExecutionConfig, TrainConfig


@pytest.mark.parametrize(
    ("device", "budget", "asked", "found"),
    [
        ("cuda", Budget(steps=500), "auto", True),
        ("cuda", Budget(steps=499), "auto", False),
        ("cuda", Budget(seconds=300), "auto", True),
        ("cuda", Budget(seconds=299), "auto", False),
        ("cpu", Budget(steps=500), "auto", False),
        ("cuda", Budget(steps=500), False, False),
        ("cpu", Budget(steps=10), True, True),
    ],
)
def test_a_rehearsal_is_compiled_if_the_whole_run_would_be(
    tiny_arrays, monkeypatch, device, budget, asked, found
):
    monkeypatch.setattr(estimate, "pick_device", lambda wanted: device)
    amounts = {"context": TextAmount(chars=40), "batch": TextAmount(chars=700), "budget": budget}
    execution = ExecutionConfig(compile=asked)
    run = TrainConfig(data=tiny_arrays("byte"), out=Path("run"), execution=execution, **amounts)
    probe = estimate.probe(run, processes=1)
    assert probe.execution.compile == found
    assert probe.budget == Budget(steps=estimate.PROBE_STEPS)
