"""A comparison file as a typed object: its content, and reading and writing it."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common.cli import as_yaml, parse
from comparison import Comparison, Recipe, load_comparison
from model import ModelConfig
from tokenizers import LONGEST_LABEL, folder_name
from training.budget import Budget, TextAmount
from training.config import CheckpointConfig, ExecutionConfig, TrackingConfig, TrainConfig, TrainingOptions
from training.optimizer import OptimizerConfig

AMOUNTS = {"context": TextAmount(chars=40), "batch": TextAmount(chars=700), "budget": Budget(steps=9)}


def comparison(**options: object) -> Comparison:
    plain = {"name": "tiny", "tokenizers": ["byte"], "models": {"gpt": Recipe()}, **AMOUNTS}
    return Comparison(**plain | options)


counts = st.integers(1, 10**6)
amounts = st.builds(TextAmount, chars=counts) | st.builds(TextAmount, tokens=counts)
budgets = st.builds(Budget, chars=st.integers(1, 10**9)) | st.builds(Budget, flops=st.floats(1, 1e21))
models = st.builds(
    ModelConfig,
    kind=st.sampled_from(["gpt", "bigram", "bag-of-words"]),
    n_embd=st.sampled_from([64, 128]),
    preset=st.sampled_from(["gpt2", "modern"]),
    norm=st.sampled_from([None, "rmsnorm"]),
    tied=st.booleans(),
)
recipes = st.builds(
    Recipe,
    model=models,
    optimizer=st.builds(OptimizerConfig, lr=st.floats(1e-9, 10)),
    lr=st.none() | st.just([1e-3, 3e-3]),
    budget=st.none() | budgets,
)
executions = st.builds(
    ExecutionConfig,
    precision=st.sampled_from(["auto", "bf16"]),
    micro_batch=st.just("auto") | st.integers(1, 99),
    compile=st.sampled_from(["auto", "graphs", True, False]),
    max_seconds=st.none() | st.floats(0.1, 1e5),
    on_nonfinite=st.sampled_from(["stop", "skip"]),
)
specs = st.sampled_from(["byte", "bpe-300", "bpe-300:gpt2", f"tiktoken:{'a long path/' * 9}tokenizer.json"])
labels = st.sampled_from(["1e3", "5", "true", "null", "2020-01-01", "0x1f", "a.b", "bpe-300"])
labels |= st.from_regex(rf"\w[\w.-]{{0,{LONGEST_LABEL - 1}}}", fullmatch=True)
entries = st.lists(
    specs | st.dictionaries(labels, specs, min_size=1, max_size=1),
    min_size=1,
    max_size=4,
    unique_by=lambda entry: folder_name(entry) if isinstance(entry, str) else next(iter(entry)),
)
comparisons = st.builds(
    Comparison,
    name=st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True),
    tokenizers=entries,
    models=st.dictionaries(st.sampled_from(["gpt", "text-1x", "1e3"]), recipes, min_size=1),
    context=amounts,
    batch=amounts,
    budget=budgets,
    seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=3, unique=True),
    execution=executions,
    checkpoints=st.builds(CheckpointConfig, keep_best=st.booleans()),
    tracking=st.builds(TrackingConfig, val_chars=st.integers(1, 10**6)),
)


@settings(max_examples=40)
@given(made=comparisons)
def test_the_frozen_comparison_is_a_file_of_the_same_comparison(made, tmp_path_factory):
    made = replace(made, out=tmp_path_factory.mktemp("out"))
    made.folder.mkdir()
    made.freeze("0")
    found = load_comparison(made.folder)
    assert found == made.resolved()
    assert found.content() == made.content()
    assert list(found.specs.items()) == list(made.specs.items())
    for ours, theirs in zip(made.first_runs(), found.first_runs(), strict=True):
        assert theirs.config.identity() == ours.config.identity()
        assert (theirs.folder, theirs.title) == (ours.folder, ours.title)


def test_a_tokenizer_has_a_label_and_a_spec():
    path = f"file:{'long/' * 30}{'x' * 70}.model"
    made = comparison(tokenizers=["bpe-300:gpt2", {"mine": "byte"}, {"again": "byte"}, path])
    cut = "x" * LONGEST_LABEL
    assert made.specs == {"bpe-300-gpt2": "bpe-300:gpt2", "mine": "byte", "again": "byte", cut: path}
    runs = {run.tokenizer: run for run in made.first_runs()}
    assert {label: run.spec for label, run in runs.items()} == made.specs
    assert runs["mine"].title == "mine/gpt/seed0"
    assert runs["mine"].config.data == made.data("mine") == made.folder / "data" / "mine"
    assert runs["mine"].folder == made.folder / "runs" / "mine" / "gpt" / "seed0"
    one, other = (runs[label].config.identity() for label in ("mine", "again"))
    assert {key for key in one if one[key] != other[key]} <= {"init_seed"}


def test_a_label_equal_to_the_spec_changes_nothing():
    assert comparison(tokenizers=[{"byte": "byte"}]).content() == comparison().content()
    assert comparison(tokenizers=[{"one": "byte"}]).content() != comparison().content()


def test_labels_can_be_given_on_the_command_line(tmp_path):
    (tmp_path / "tiny.yaml").write_text(as_yaml(comparison()))
    words = [str(tmp_path / "tiny.yaml"), "--tokenizers", "[byte, {mine: bpe-300:gpt2}]"]
    assert parse(Comparison, words).specs == {"byte": "byte", "mine": "bpe-300:gpt2"}


@pytest.mark.parametrize(
    ("tokenizers", "says"),
    [
        (["byte", "byte"], r"'byte' and 'byte' have the same label 'byte': give one .* \{LABEL: byte\}"),
        ([{"a": "byte"}, {"a": "char"}], "'byte' and 'char' have the same label 'a'"),
        (["byte", {"byte": "char"}], "'byte' and 'char' have the same label 'byte'"),
        (["file:x/tokenizer.json", "hub:org/x"], "the same label 'x'"),
        ([f"tiktoken:{first}{'/' + 'x' * 70}" for first in "ab"], f"same label '{'x' * LONGEST_LABEL}'"),
        ([{"a": "byte", "b": "char"}], "neither a spec nor one label"),
        ([{}], "neither a spec nor one label"),
        ([{"a": "bite"}], "did you mean 'byte'"),
        ([{"x" * 65: "byte"}], "has 65 characters: use at most 64"),
        ([{True: "byte"}], "the label True is of type bool, not text: put it in quotes"),
        *(([{label: "byte"}], "names a folder") for label in ("", "a/b", "..", "-a", "a b", "a:b", "a\n")),
    ],
)
def test_duplicate_and_invalid_labels_are_refused(tokenizers, says):
    with pytest.raises(ValueError, match=says):
        comparison(tokenizers=tokenizers)


def test_options_of_running_are_not_part_of_the_comparison():
    names = {field.name for field in fields(Comparison)}
    assert not names & {"jobs", "cluster", "dry_run", "launcher", "plan", "prepare", "status", "cancel"}


def test_a_comparison_file_has_every_option_of_the_trainer(tmp_path):
    """Every option of a training run comes from the file, except those that distinguish its runs."""
    options = {field.name for field in fields(TrainConfig)}
    shared = {field.name for field in fields(TrainingOptions)}
    assert options - shared == {
        *("data", "out", "seed", "init_seed", "group", "model_name"),  # the comparison's own
        *("model", "optimizer"),  # a recipe's
        "params",
    }
    execution = ExecutionConfig(compile=False, bucket_mb=4, on_nonfinite="skip", profile=True, max_seconds=9)
    said = comparison(execution=execution, checkpoints=CheckpointConfig(3, 1, True))
    (tmp_path / "tiny.yaml").write_text(as_yaml(said))
    (run,) = parse(Comparison, [str(tmp_path / "tiny.yaml")]).first_runs()
    assert run.config.execution == execution
    assert run.config.checkpoints == CheckpointConfig(3, 1, True)


def test_yaml_switches_are_read_as_booleans(tmp_path):
    content = yaml.safe_load(as_yaml(comparison()))
    del content["execution"]["compile"]
    text = yaml.safe_dump(content).replace("execution:\n", "execution:\n  compile: off\n")
    (tmp_path / "tiny.yaml").write_text(text)
    assert parse(Comparison, [str(tmp_path / "tiny.yaml")]).execution.compile is False


def test_runs_with_the_same_seed_share_batches_but_not_initial_weights():
    """Also with two labels of one tokenizer, whose runs would be identical otherwise."""
    runs = comparison(tokenizers=[{"a": "byte"}, {"b": "byte"}], seeds=[0, 1]).runs({})
    assert [run.config.seed for run in runs if run.model == runs[0].model] == [0, 1, 0, 1]
    assert len({run.config.init_seed for run in runs if run.model == runs[0].model}) == 4


def test_the_identity_of_a_run_holds_the_options_that_affect_its_result():
    (run,) = comparison().first_runs()
    identity = run.config.identity()
    assert list(sorted(identity)) == sorted(
        "format model params context batch budget documents optimizer seed init_seed precision micro_batch "
        "compress_gradients validations val_chars".split()
    )
    assert (identity["precision"], identity["validations"], identity["val_chars"]) == ("auto", 10, 20_000)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("models: {gpt: {params: 5}}", "'params' belongs at the top level"),
        ("wandb: disabled", "did you mean 'tracking.wandb'?"),
        ("precision: fp32", "did you mean 'execution.precision'?"),
    ],
)
def test_a_file_of_an_earlier_version_is_refused_in_one_line(tmp_path, content, says):
    made = comparison(out=tmp_path)
    made.folder.mkdir()
    made.freeze("0")
    path = made.folder / "comparison.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | yaml.safe_load(content)))
    with pytest.raises(ValueError, match=r"run compare\.py with its file again") as caught:
        load_comparison(made.folder)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_a_comparison_is_refused():
    with pytest.raises(ValueError, match="nowhere holds no comparison"):
        load_comparison(Path("nowhere"))


def test_every_option_of_training_reaches_the_runs():
    """Options that a comparison and a run share, with values other than the defaults."""
    others = {
        "context": TextAmount(tokens=7),
        "batch": TextAmount(tokens=70),
        "budget": Budget(steps=3),
        "documents": "packed",
        "scoring": "bf16",
        "execution": ExecutionConfig(device="cpu", max_seconds=9),
        "checkpoints": CheckpointConfig(seconds=7),
        "tracking": TrackingConfig(validations=3),
    }
    assert set(others) == {field.name for field in fields(TrainingOptions)}
    made = Comparison(name="x", tokenizers=["byte"], models={"gpt": Recipe()}, **others)
    (run,) = made.first_runs()
    assert {name: getattr(run.config, name) for name in others} == others
