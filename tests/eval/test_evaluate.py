"""Options that the evaluation refuses."""

from pathlib import Path

import pytest

from eval.evaluate import Arguments


@pytest.mark.parametrize(
    ("name", "value"), [("stride", 0), ("stride", -1), ("context_chars", 0), ("test_chars", 0)]
)
def test_windows_that_do_not_advance_or_are_empty_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: it must be at least 1"):
        Arguments(run=Path("run"), **{name: value})
