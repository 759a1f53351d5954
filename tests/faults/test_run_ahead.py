"""Beginning steps before earlier ones are read, as on a GPU, here tested on a CPU."""

import signal

import pytest

pytestmark = pytest.mark.extended

SKIP = ["--execution.on_nonfinite=skip", "--execution.micro_batch=9"]


def sabotage(what: str, rank: int = 0, step: int = 0) -> dict:
    return {"script": ("tests/faults/sabotage.py", what, str(rank), str(step)), "processes": 2}


def test_the_run_is_the_same_as_one_that_reads_every_step(new_run, whole):
    assert new_run().finish(**sabotage("ahead")).result() == whole.result()


def test_it_stops_and_resumes_as_if_never_stopped(new_run, whole):
    run = new_run()
    for step in (5, 60, 100):
        run.start(**sabotage("ahead")).wait_for_step(step)
        run.process.send_signal(signal.SIGTERM)
        _, output = run.end()
        assert "stopped after step" in output, output
        assert run.state()["step"] > step
    assert run.finish(**sabotage("ahead")).result() == whole.result()


def test_when_killed_it_resumes_from_a_checkpoint(new_run, whole):
    run = new_run().start(**sabotage("ahead")).wait_for_step(90)
    run.process.kill()
    run.end()
    assert run.state()["step"] > 0
    assert run.finish(**sabotage("ahead")).result() == whole.result()


@pytest.mark.parametrize("step", [8, 67, 200])  # an ordinary step, one before a validation, and the last
def test_a_bad_batch_is_skipped_and_the_steps_begun_after_it_are_repeated(new_run, step):
    plain, ahead = (
        new_run(what).finish(*SKIP, **sabotage(what, rank=1, step=step)) for what in ("nan", "ahead-nan")
    )
    assert ahead.result() == plain.result()
    assert ahead.values()[-1]["skipped_steps"] == 1


def test_the_saved_weights_are_those_before_the_bad_step(new_run):
    kept = []
    for what in ("nan", "ahead-nan"):
        run = new_run(what)
        code, output = run.start("--execution.micro_batch=9", **sabotage(what, rank=1, step=50)).end()
        assert code == 1 and "the loss is nan at step 50 on rank 1 (batch 49 of seed 0)" in output
        kept.append((run.folder / "bad" / "step-00000049" / "model.safetensors").read_bytes())
    assert kept[0] == kept[1]


def test_a_request_to_stop_during_the_last_step_has_no_effect(new_run):
    run, options = (
        new_run(),
        ["--budget.steps=2", "--tracking.validations=1", "--execution.max_seconds=0.001"],
    )
    code, output = run.start(*options, **sabotage("ahead")).end()
    assert code == 0 and "stopped" not in output, output
    assert run.state()["finished"] and not (run.folder / "stopped.json").exists()
