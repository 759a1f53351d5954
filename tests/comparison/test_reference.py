"""The reference page of comparison files matches the dataclasses."""

from pathlib import Path

import pytest
import yaml

from common.cli import parse
from common.options import sections_of
from comparison import Comparison
from comparison.reference import PAGE, SMALLEST, reference_page
from slurm.cluster import Cluster
from training.config import TrainConfig


def test_the_page_in_the_repository_is_current() -> None:
    assert PAGE.read_text() == reference_page(), "run python -m comparison.reference"


def test_the_smallest_file_is_a_comparison_and_every_key_in_it_is_required(tmp_path: Path) -> None:
    path = tmp_path / "smallest.yaml"
    path.write_text(SMALLEST)
    assert parse(Comparison, [str(path)]).models.keys() == {"gpt"}
    content = yaml.safe_load(SMALLEST)
    for key in content:
        path.write_text(yaml.safe_dump({name: value for name, value in content.items() if name != key}))
        with pytest.raises(ValueError, match=key):
            parse(Comparison, [str(path)])


@pytest.mark.parametrize("config", [Comparison, TrainConfig, Cluster])
def test_every_option_is_explained(config: type) -> None:
    for section in sections_of(config):
        assert section.meaning, section.path
        for option in section.options:
            assert option.meaning, option.path
