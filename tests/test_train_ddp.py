"""The trainer as users start it: real processes, real torchrun, real signals."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from common.files import sha256_file
from model import load_model
from training.checkpoint import newest_checkpoint
from training.tracking import read_metrics

from .program import Program

TRAIN = [sys.executable, "train_ddp.py"]
TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node=2",
    "train_ddp.py",
]
SMALL = """--model.n_layer 2 --model.n_embd 32 --context.chars 40 --batch.chars 700 --budget.steps 12
  --tracking.validations 3 --tracking.val_chars 500
  --execution.precision fp32 --tracking.wandb disabled""".split()
TIMES = "train_seconds val_seconds tokens_per_second chars_per_second mfu data_wait memory_gb".split()


@pytest.fixture(scope="module")
def small(tiny_arrays):
    """A function that returns the command to train a small run in a folder; later options take precedence."""

    def command(out: Path, *options: str, launcher: list[str] = TRAIN) -> list[str]:
        return [*launcher, "--data", str(tiny_arrays("bpe-300")), "--out", str(out), *SMALL, *options]

    return command


@pytest.fixture
def start(small, tmp_path):
    """A function that starts a small run in `tmp_path/name` and returns the process."""

    def begin(name: str, *options: str, launcher: list[str] = TRAIN) -> subprocess.Popen | Program:
        command = small(tmp_path / name, *options, launcher=launcher)
        if launcher == TRAIN:
            return Program(command[1:], tmp_path / f"{name}.log")
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return begin


@pytest.fixture
def train(start, tmp_path):
    """A function that trains a small run to the end and returns its folder."""

    def run(name: str, *options: str, **more) -> Path:
        process = start(name, *options, **more)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        return tmp_path / name

    return run


@pytest.fixture(scope="module")
def plain(small, tmp_path_factory) -> Path:
    """A finished small run with default options, for comparison; it must not be changed."""
    run = tmp_path_factory.mktemp("plain") / "run"
    subprocess.run(small(run), check=True, capture_output=True, timeout=120)
    return run


@pytest.fixture
def run(plain, tmp_path) -> Path:
    """A copy of `plain` that a test may change, in the folder of `start("run")`."""
    return Path(shutil.copytree(plain, tmp_path / "run"))


def values(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without clock times."""
    return [{k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(run / "metrics.jsonl")]


def weights(run: Path) -> str:
    return sha256_file(sorted(run.glob("checkpoints/step-*"))[-1] / "model.safetensors")


def wait_for_step(process: Program, run: Path, step: int) -> None:
    while not any(line["step"] >= step for line in read_metrics(run / "metrics.jsonl")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_a_run_leaves_its_configuration_its_record_and_a_checkpoint(plain):
    lines = values(plain)
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["step"] for line in lines if "val_bpc" in line] == [4, 8, 12]
    assert lines[-1]["val_bpc"] < lines[3]["val_bpc"]
    assert json.loads((plain / "plan.json").read_text())["steps"] == 12
    assert {path.name for path in plain.iterdir()} == {
        ".lock",
        "config.yaml",
        "plan.json",
        "metrics.jsonl",
        "checkpoints",
    }


def test_its_config_file_repeats_the_run(plain, tmp_path):
    again, config = tmp_path / "again", shutil.copy(plain / "config.yaml", tmp_path)
    subprocess.run([*TRAIN, config, "--out", str(again)], check=True, capture_output=True, timeout=120)
    assert values(again) == values(plain)
    assert weights(again) == weights(plain)


def test_two_processes_under_torchrun_train_the_same_run_as_one(plain, train):
    one, two = values(plain), values(train("two", launcher=TORCHRUN))
    assert [line["step"] for line in two] == [line["step"] for line in one]
    for a, b in zip(one, two, strict=True):
        assert b == pytest.approx(a, rel=1e-4)


@pytest.mark.extended
@pytest.mark.parametrize("launcher", [TRAIN, TORCHRUN])
def test_a_budget_in_seconds_ends_by_the_clock_and_so_does_its_schedule(train, launcher):
    run = train("timed", "--budget.steps", "null", "--budget.seconds", "1.5", launcher=launcher)
    lines = read_metrics(run / "metrics.jsonl")
    seconds = [line["train_seconds"] for line in lines]
    assert all(a < 1.5 for a in seconds[:-1])
    assert seconds[-1] >= 1.5
    assert [line["progress"] for line in lines] == pytest.approx([min(1, s / 1.5) for s in seconds])
    assert sum("val_bpc" in line for line in lines) == 3
    assert lines[-1]["lr"] < 0.2 * max(line["lr"] for line in lines)
    assert newest_checkpoint(run / "checkpoints")[1]["finished"]


@pytest.mark.extended
def test_accumulated_gradients_are_those_of_the_whole_batch(plain, train):
    """Also if the last micro-batch is smaller, and on two processes with unequal shares."""
    whole = values(plain)
    for parts in (
        values(train("parts", "--execution.micro_batch", "5")),
        values(train("two", "--execution.micro_batch", "2", launcher=TORCHRUN)),
    ):
        for a, b in zip(whole, parts, strict=True):
            assert b["train_bpc"] == pytest.approx(a["train_bpc"], rel=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_as_fp32_does(plain, train, precision):
    full, mixed = values(plain), values(train("mixed", "--execution.precision", precision))
    assert mixed[-1]["val_bpc"] == pytest.approx(full[-1]["val_bpc"], rel=0.02)
    assert mixed != full


@pytest.mark.parametrize("kind", ["bigram", "bag-of-words"])
def test_the_baselines_are_trained_by_the_same_trainer(train, kind):
    lines = values(train(kind, "--model.kind", kind, "--optimizer.lr", "0.03"))
    assert lines[-1]["val_bpc"] < lines[3]["val_bpc"]


def test_a_stopped_run_resumes_bit_for_bit(train, start, tmp_path):
    options = ("--budget.steps", "150", "--checkpoints.seconds", "0.2")
    whole = train("whole", *options)
    for number, step in ((signal.SIGINT, 30), (signal.SIGTERM, 60), (signal.SIGKILL, 90)):
        process = start("stopped", *options)
        wait_for_step(process, tmp_path / "stopped", step)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 75)
        assert values(tmp_path / "stopped")[-1]["step"] < 150
    stopped = train("stopped", *options)
    assert values(stopped) == values(whole)
    assert weights(stopped) == weights(whole)


@pytest.mark.extended
def test_muon_and_the_modern_preset_resume_bit_for_bit_too(start, train, tmp_path):
    options = ["--optimizer.name", "muon", "--optimizer.schedule", "wsd", "--model.preset", "modern"]
    options += ["--budget.steps", "80", "--execution.precision", "bf16"]
    process = start("killed", *options, "--checkpoints.seconds", "0.1")
    wait_for_step(process, tmp_path / "killed", 20)
    process.kill()
    process.communicate()
    killed, whole = train("killed", *options), train("whole", *options)
    assert values(killed) == values(whole)
    assert weights(killed) == weights(whole)
    assert values(whole)[-1]["val_bpc"] < values(whole)[0]["train_bpc"] - 1


@pytest.mark.parametrize("way", ["option", "file"])
def test_the_preset_sets_the_options_that_are_not_given(train, tmp_path, way):
    options = ["--model.preset=modern", "--model.norm=layernorm"]
    if way == "file":
        (tmp_path / "model.yaml").write_text("model: {preset: modern, norm: layernorm}")
        options = ["--config", str(tmp_path / "model.yaml")]
    run = train("run", *options, "--budget.steps", "2")
    config = load_model(newest_checkpoint(run / "checkpoints")[0] / "model.safetensors").config
    shape = {name: getattr(config, name) for name in ("positions", "norm", "qk_norm", "mlp", "bias")}
    assert shape == {
        "positions": "rotary", "norm": "layernorm", "qk_norm": True, "mlp": "swiglu", "bias": False
    }  # fmt: skip
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["positions"] is None


@pytest.mark.extended
def test_a_compiled_run_learns_what_an_eager_one_does(plain, start, tmp_path):
    """Also if the last micro-batch is smaller; evaluation is not compiled."""
    eager = values(plain)
    process = start("compiled", "--execution.compile", "true", "--execution.micro_batch", "11")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "compiling the model" in output
    for a, b in zip(eager, values(tmp_path / "compiled"), strict=True):
        assert b["train_bpc"] == pytest.approx(a["train_bpc"], rel=1e-3)


@pytest.mark.extended
def test_a_profile_is_a_trace_and_the_ten_most_expensive_operations(start, tmp_path):
    process = start("run", "--execution.profile", "true")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    table = output[output.index("ten most expensive operations") :].splitlines()
    assert max(map(len, table[:11])) <= 80
    shares = [float(line.split()[-2].rstrip("%")) for line in table[1:11]]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100.5
    names = {
        event["name"] for event in json.loads((tmp_path / "run" / "profile.json").read_text())["traceEvents"]
    }
    assert "aten::addmm" in names


def test_the_resolved_values_of_auto_are_recorded(train):
    run = train("run", "--execution.precision", "auto")
    plan = json.loads((run / "plan.json").read_text())
    assert plan["precision"] in ("bf16", "fp32")
    assert plan["micro_batch"] == math.ceil(plan["sequences_per_step"])  # a small model fits into any memory
    assert plan["compiled"] is False
    assert plan["peak_flops"] > 1e9
    line = read_metrics(run / "metrics.jsonl")[-1]
    assert 0 < line["mfu"] < 1
    assert 0 <= line["data_wait"] < 1
    assert line["memory_gb"] > 0.05
    assert line["chars_per_second"] == pytest.approx(line["tokens_per_second"] * plan["chars_per_token"])


def test_a_finished_run_is_not_trained_again(run, train):
    before = weights(run), (run / "metrics.jsonl").read_text()
    assert train("run") == run
    assert (weights(run), (run / "metrics.jsonl").read_text()) == before


def test_a_run_with_other_options_is_refused_and_left_unchanged(run, start):
    before = weights(run), (run / "metrics.jsonl").read_text(), (run / "config.yaml").read_text()
    process = start("run", "--optimizer.lr", "0.5")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a different optimizer" in output
    assert (weights(run), (run / "metrics.jsonl").read_text(), (run / "config.yaml").read_text()) == before


def test_a_non_finite_loss_ends_the_run(start):
    process = start("run", "--optimizer.lr", "1e30", "--optimizer.grad_clip", "1e30")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the loss is" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model.n_heads", "2"], "did you mean 'model.n_head'"),
        (["--model.n_head", "5"], "n_embd 32 is not a multiple of model.n_head 5"),
        (["--model.n_layer", "two"], "model.n_layer: expected a whole number, not 'two'"),
        (["--data", "nowhere"], "nowhere holds no token arrays"),
        (["--execution.device", "cuda"], "torch finds no GPU"),
        (
            ["--execution.compile", "graphs", "--execution.micro_batch", "3"],
            "needs one process and a single micro-batch",
        ),
        (
            ["--execution.compress_gradients", "true", "--execution.device", "cpu"],
            "needs GPUs",
        ),
        (
            ["--budget.chars", "1000"],
            "budget: give exactly one of chars, tokens, flops, steps, seconds, not chars and steps",
        ),
        (["--context.chars", "100000000"], "shorter than one context"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(start, options, says):
    process = start("run", *options)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert says in output
    assert output.count("\n") == 1


def test_help_explains_every_field():
    text = subprocess.run([*TRAIN, "--help", "all"], capture_output=True, text=True, check=True).stdout
    for option in ("--data", "--context.chars", "--budget.flops", "--optimizer.beta2", "--model.kind"):
        assert option in text
    assert "how long to train, in characters, tokens, FLOPs, steps or seconds" in text


@pytest.mark.extended
def test_wandb_offline_holds_every_value_of_the_record(train):
    run = train("run", "--tracking.wandb", "offline")
    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    records = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert str(values(run)[-1]["val_bpc"])[:12] in records


@pytest.mark.extended
def test_evaluation_on_two_processes_is_the_same_to_the_last_bit(run):
    evaluate = ["-m", "--", "eval.evaluate", "--run", str(run)]
    found = []
    alone = [sys.executable, "-m", "eval.evaluate", "--run", str(run)]
    for command in (alone, [*TORCHRUN[:-1], *evaluate]):
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("bits per character") == 1
        found.append([(run / name).read_bytes() for name in ("token_bits.npy", "documents.parquet")])
        (run / "result.json").unlink()
    assert found[0] == found[1]


@pytest.mark.extended
def test_another_stride_scores_every_token_once_more_exactly(run):
    found = {}
    for stride in ("4", "20"):
        command = [sys.executable, "-m", "eval.evaluate", "--run", str(run), "--stride", stride]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        found[stride] = json.loads((run / "result.json").read_text())
    assert found["4"]["stride"] == 4 and found["20"]["stride"] == 20
    assert found["4"]["test_bpc"] == pytest.approx(found["20"]["test_bpc"], rel=0.02)
    assert found["4"]["test_bpc"] != found["20"]["test_bpc"]
