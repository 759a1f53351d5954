"""metrics.jsonl is the record of a run; wandb gets a copy."""

import json

from training.tracking import Tracker, read_metrics


def test_lines_are_in_the_file_as_soon_as_they_are_logged(tmp_path):
    tracker = Tracker(tmp_path, "disabled", step=0)
    tracker.log({"step": 1, "train_bpc": 2.5})
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "train_bpc": 2.5}]


def test_lines_after_the_checkpoint_are_removed_when_a_run_resumes(tmp_path):
    lines = [{"step": step, "train_bpc": 1 / step} for step in range(1, 6)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tracker = Tracker(tmp_path, "disabled", step=3)
    tracker.log({"step": 4, "train_bpc": 9.0})
    tracker.close()
    assert [m["step"] for m in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]


def test_an_incomplete_last_line_is_ignored(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "tra')
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1}]


def test_a_run_without_a_record_has_an_empty_one(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
