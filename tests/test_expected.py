"""What a run would take is measured on the run that it would be."""

from pathlib import Path

import pytest

import expected
from training.budget import Budget, TextAmount
from training.config import TrainConfig


@pytest.mark.parametrize(
    ("device", "budget", "asked", "found"),
    [
        ("cuda", Budget(steps=500), "auto", "on"),
        ("cuda", Budget(steps=499), "auto", "off"),
        ("cuda", Budget(seconds=300), "auto", "on"),
        ("cuda", Budget(seconds=299), "auto", "off"),
        ("cpu", Budget(steps=500), "auto", "off"),
        ("cuda", Budget(steps=500), "off", "off"),
        ("cpu", Budget(steps=10), "on", "on"),
    ],
)
def test_a_probe_is_compiled_where_the_whole_run_would_be(
    tiny_arrays, monkeypatch, device, budget, asked, found
):
    monkeypatch.setattr(expected, "pick_device", lambda wanted: device)
    amounts = {"context": TextAmount(chars=40), "batch": TextAmount(chars=700), "budget": budget}
    run = TrainConfig(data=tiny_arrays("byte"), out=Path("run"), compile=asked, **amounts)
    probe = expected.probe(run, Path("probe"), processes=1)
    assert probe.compile == found
    assert (probe.budget, probe.out) == (Budget(steps=expected.PROBE_STEPS), Path("probe"))
