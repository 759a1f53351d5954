"""Our trainer against nanoGPT's: tokens per second of the same model, and what is learnt in the same time.

    git clone https://github.com/karpathy/nanoGPT out/nanoGPT
    python -m benchmarks.nanogpt --nanogpt out/nanoGPT --text tinyshakespeare.txt --json figures.json

Both are started as their users start them, in turn, on the same ids: tiny Shakespeare, the last tenth for
validation. nanoGPT is not compiled (on most of these shapes it is slower so), and fp32, all that it does on
a CPU; ours takes `--execution.precision auto`. Validation bits per character are those of `model.scoring` for
both. A ratio of tokens per second above 1 means that ours is faster; one of bits below 1, that it learns
more.
"""

import hashlib
import pickle
import re
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.cli import run_command
from common.files import write_json
from data_prep.arrays import DOCUMENT, FORMAT, ArrayWriter, TokenArrays, describe_file
from model import LanguageModel, ModelConfig
from model.scoring import document_bits, score
from tokenizers import train_tokenizer
from training.tracking import read_metrics

from .process import output_of
from .step import nanogpt_model
from .table import Figures, compare, header, in_turn, ratios, row, write_figures


@dataclass(frozen=True)
class Shape:
    """A model and a batch, the same for both trainers."""

    name: str
    data: str
    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    batch: int
    steps: int


SHAPES = [
    Shape("baby", "char", 6, 6, 384, 256, 12, 12),
    Shape("small", "char", 4, 4, 128, 64, 12, 200),
    Shape("small_8192", "bpe-8192", 4, 4, 128, 64, 32, 60),
]
# What learns most in nanoGPT's time of all that was tried (docs/performance.md).
RECIPE: dict[str, object] = {
    "model.preset": "modern",
    "model.n_layer": 3,
    "context.tokens": 64,
    "batch.tokens": 24 * 64,
    "optimizer.name": "muon",
    "optimizer.lr": 1e-2,
    "optimizer.schedule": "wsd",
    "optimizer.warmup": 0.02,
    "optimizer.final_lr": 0,
}
NANOGPT_STEPS = 2000  # of its recipe for a CPU


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    nanogpt: Path
    """folder of nanoGPT"""
    text: Path
    """tiny Shakespeare: github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt"""
    folder: Path = Path("out/benchmarks/nanogpt")
    """where arrays and runs go"""
    rounds: int = 3
    """turns of both trainers"""
    quality: bool = True
    """also train both to the end, nanoGPT by its recipe for a CPU (four minutes)"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def write_data(folder: Path, nanogpt: Path, name: str, text: str, val_chars: int) -> None:
    """The same ids for both: arrays in `folder/name`, and nanoGPT's train.bin, val.bin and meta.pkl.

    The last tenth of the text is not for training; its first `val_chars` characters are for validation.
    """
    cut = int(0.9 * len(text))
    text = text[: cut + val_chars]
    if name == "char":
        characters = sorted(set(text))
        id_of = {character: i for i, character in enumerate(characters)}
        size = len(characters) + 1
        encoded = [np.array([id_of[c] for c in part]) for part in (text[:cut], text[cut:])]
    else:
        tokenizer = train_tokenizer(name, [text[:cut]])
        size = tokenizer.vocab_size
        encoded = [tokenizer.encode(part) for part in (text[:cut], text[cut:])]
    theirs = nanogpt / "data" / name
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir(parents=True)
    theirs.mkdir(exist_ok=True)
    (theirs / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": size}))
    eot, dtype, splits = size - 1, np.min_scalar_type(size - 1), {}
    parts = {"train": (text[:cut], encoded[0]), "val": (text[cut:], encoded[1])}
    for split, (part, ids) in [*parts.items(), ("test", parts["val"])]:
        ids.astype(np.uint16).tofile(theirs / f"{split}.bin")
        writer = ArrayWriter(folder / name / f"{split}-00000.tokens.npy", dtype)
        writer.write(np.concatenate([[eot], ids, [eot]]))
        writer.close()
        table = np.array([(1, len(part), len(part.encode()))], dtype=DOCUMENT)
        np.save(folder / name / f"{split}-00000.documents.npy", table)
        digest = hashlib.sha256(part.encode()).hexdigest()
        splits[split] = {
            "documents": 1,
            "chars": len(part),
            "bytes": len(part.encode()),
            "tokens": len(ids),
            "lossy_documents": 0,
            "text_sha256": digest,
        }
    manifest = {
        "format": FORMAT,
        "tokenizer": name,
        "corpus_fingerprint": splits["train"]["text_sha256"],
        "tokenizer_fingerprint": hashlib.sha256(name.encode()).hexdigest(),
        "vocab_size": size,
        "eot": eot,
        "dtype": str(dtype),
        "splits": splits,
        "files": {path.name: describe_file(path) for path in sorted((folder / name).iterdir())},
    }
    write_json(folder / name / "manifest.json", manifest)


def run_nanogpt(nanogpt: Path, shape: Shape, *options: str) -> list[float]:
    """Seconds of each step of nanoGPT's trainer, the first ones left out."""
    settings = {
        "device": "cpu",
        "compile": False,
        "dataset": shape.data,
        "out_dir": "out",
        "log_interval": 1,
        "eval_iters": 1,
        "eval_interval": 100_000,
        "n_layer": shape.n_layer,
        "n_head": shape.n_head,
        "n_embd": shape.n_embd,
        "block_size": shape.block_size,
        "batch_size": shape.batch,
        "max_iters": shape.steps,
        "lr_decay_iters": shape.steps,
        "dropout": 0.0,
    }
    command = [sys.executable, "train.py", "config/train_shakespeare_char.py"]
    command += [f"--{name}={value}" for name, value in settings.items()] + list(options)
    lines = output_of(command, folder=nanogpt)
    return [float(found[1]) / 1000 for line in lines if (found := re.search(r"time ([\d.]+)ms", line))][3:]


def run_ours(folder: Path, shape: Shape, steps: int, options: Mapping[str, object] = {}) -> list[dict]:
    """The metrics of our trainer's run; `options` go before those of the shape."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "train_ddp.py", "--data", str(folder / shape.data), "--out", str(out)]
    settings: dict[str, object] = {
        "model.n_layer": shape.n_layer,
        "model.n_head": shape.n_head,
        "model.n_embd": shape.n_embd,
        "context.tokens": shape.block_size,
        "batch.tokens": shape.batch * shape.block_size,
        "budget.steps": steps,
        "tracking.validations": 1,
        "tracking.val_chars": 1_000_000,
        "tracking.wandb": "disabled",
        **options,
    }
    output_of(command + [f"--{name}={value}" for name, value in settings.items()])
    return read_metrics(out / "metrics.jsonl")


class NanoGPT(LanguageModel):
    """What nanoGPT has trained behind our interface, as far as scoring needs it."""

    def __init__(self, nanogpt: Path) -> None:
        checkpoint = torch.load(nanogpt / "out" / "ckpt.pt", weights_only=True)
        shape = checkpoint["model_args"]
        super().__init__(ModelConfig(), shape["vocab_size"], shape["block_size"])
        self.inner = nanogpt_model(nanogpt, **shape)
        self.inner.load_state_dict(checkpoint["model"])

    def forward(self, idx: Tensor, targets: Tensor | None = None, reduction: str = "mean") -> Tensor:
        """Logits, or with `targets` their loss; nanoGPT has all logits only if it is given any targets."""
        logits = self.inner(idx, idx)[0]
        if targets is None:
            return logits
        kept = targets != -1
        return F.cross_entropy(logits[kept].float(), targets[kept], reduction=reduction)


def step_seconds(
    folder: Path, nanogpt: Path, shape: Shape, steps: int, options: Mapping[str, object] = {}
) -> dict[str, Callable[[], float]]:
    """Both trainers, nanoGPT first: each returns the median seconds of a step of a short run."""

    def ours() -> float:
        ended = [line["train_seconds"] for line in run_ours(folder, shape, steps, options)]
        return float(np.median(np.diff(ended)[2:]))

    return {"nanoGPT": lambda: statistics.median(run_nanogpt(nanogpt, shape)), "ours": ours}


def quality(figures: Figures, folder: Path, nanogpt: Path, rounds: int) -> None:
    """Rows of both trainers' validation bits, ours after as many steps as fit into nanoGPT's 2000.

    How many do is measured in turn before: within minutes, the speed of a shared machine drifts.
    """
    shape = SHAPES[1]
    took = in_turn(step_seconds(folder, nanogpt, shape, 100, RECIPE), rounds)
    fit = [NANOGPT_STEPS * ratio for ratio in ratios(took["nanoGPT"], took["ours"])]
    options = [f"--max_iters={NANOGPT_STEPS}", f"--lr_decay_iters={NANOGPT_STEPS}"]
    options += [f"--eval_interval={NANOGPT_STEPS}", "--always_save_checkpoint=True"]
    theirs = run_nanogpt(nanogpt, shape, *options)
    chars = TokenArrays(folder / shape.data).manifest["splits"]["val"]["chars"]
    ids = np.load(folder / shape.data / "val-00000.tokens.npy").astype(np.int64)
    ids[[0, -1]] = 0  # nanoGPT knows no end of text: a line end, the first of the characters, is its context
    bits, _ = document_bits(score(NanoGPT(nanogpt), [ids], shape.block_size // 2), [ids])
    nanogpt_bpc = float(bits[0]) / chars
    last = run_ours(folder, shape, int(statistics.median(fit)), RECIPE)[-1]
    row(figures, "learnt by nanoGPT: training, seconds", statistics.mean(theirs) * NANOGPT_STEPS)
    row(figures, "learnt by nanoGPT: validation, bpc", nanogpt_bpc)
    row(figures, "learnt by ours: that many fit, steps", *fit)
    row(figures, "learnt by ours: training, seconds", last["train_seconds"])
    row(figures, "learnt by ours: validation, bpc", last["val_bpc"])
    row(figures, "learnt by ours: validation, ratio", last["val_bpc"] / nanogpt_bpc)


def main(arguments: Arguments) -> None:
    """Measure in turn and print the tables."""
    folder, text = arguments.folder, arguments.text.read_text()
    nanogpt = folder.resolve() / "nanoGPT"
    shutil.copytree(arguments.nanogpt, nanogpt, dirs_exist_ok=True)
    for name in {shape.data for shape in SHAPES}:
        write_data(folder, nanogpt, name, text, 5000)  # speed does not want a long validation
    figures: Figures = {}
    header()
    for shape in SHAPES:
        took = in_turn(step_seconds(folder, nanogpt, shape, shape.steps), arguments.rounds)
        tokens = shape.batch * shape.block_size
        speeds = {name: [tokens / seconds for seconds in runs] for name, runs in took.items()}
        compare(figures, shape.name, "tokens/s", speeds)
    if arguments.quality:
        write_data(folder, nanogpt, SHAPES[1].data, text, len(text))
        quality(figures, folder, nanogpt, arguments.rounds)
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    run_command(main, Arguments, "Our trainer against nanoGPT's.")
