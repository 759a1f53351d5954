"""Every command of docs/build-the-gpt.md prints what the page shows."""

import re

import pytest

from tests.lecture.walk import IMAGES, PAGE, differences, run_steps


@pytest.mark.extended
def test_the_whole_walk_prints_and_draws_what_the_page_shows(tmp_path):
    validated: dict[str, float] = {}
    for step, printed in run_steps(tmp_path):
        if step.kind == "text":
            assert differences(step.shown, printed) == [], step.commands
        else:
            assert step.kind == "sample", f"the page does not show what {step.commands} prints"
            assert printed[0] == step.shown[0], step.commands
            assert len(step.shown) / 2 < len(printed) < 2 * len(step.shown), step.commands
        runs = re.findall(r"--out out/lecture/([\w-]+) --(?:model|data)", " ".join(step.commands))
        losses = re.findall(r" 100%, val bpc (\d+\.\d+)", printed)
        validated |= dict(zip(runs, map(float, losses), strict=True))
    # Each step makes the model better
    order = ["bigram", "one-head", "four-heads", "one-block", "gpt", "gpt-bpe"]
    assert sorted(validated, key=validated.__getitem__, reverse=True) == order
    # and its figures are those of the page
    drawn = {f"lecture_{path.name}" for path in (tmp_path / "out" / "lecture").glob("*.png")}
    assert drawn == set(re.findall(r"\(images/(lecture_\w+\.png)\)", PAGE.read_text()))
    assert drawn == {path.name for path in IMAGES.glob("lecture_*.png")}
