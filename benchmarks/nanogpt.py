"""Our trainer against nanoGPT's: tokens per second of the same model, and the loss after the same time.

    git clone https://github.com/karpathy/nanoGPT out/nanoGPT
    python -m benchmarks.nanogpt --nanogpt out/nanoGPT --text tinyshakespeare.txt --json figures.json

Both are started as their users start them, in turn, on the same ids: tiny Shakespeare, the last tenth for
validation. nanoGPT is not compiled, which would be slower on most of these shapes, and runs in fp32, its only
precision on a CPU; ours runs with `--execution.precision auto`. Validation bits per character are computed by
`model.scoring` for both. A ratio of tokens per second above 1 means that ours is faster; a ratio of bits
below 1 means that ours learns more.
"""

import json
import pickle
import re
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.cli import run_command
from data_prep.arrays import TokenArrays
from data_prep.corpus import CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from model import LanguageModel, ModelConfig
from model.scoring import document_bits, score
from tokenizers import train_tokenizer
from tokenizers.base import Tokenizer
from training.tracking import read_metrics

from .process import output_of
from .step import nanogpt_model
from .table import Figures, FolderOptions, compare, in_turn, ratios, row, table


@dataclass(frozen=True)
class Shape:
    """A model, its data and its batch, the same for both trainers; named like nanoGPT's options."""

    dataset: str
    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    batch_size: int
    max_iters: int


SHAPES = {
    "baby": Shape("char", 6, 6, 384, 256, 12, 12),
    "small": Shape("char", 4, 4, 128, 64, 12, 200),
    "small_8192": Shape("bpe-8192", 4, 4, 128, 64, 32, 60),
}
# The best recipe that was found for the time that nanoGPT takes (docs/performance.md).
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


@dataclass(frozen=True, kw_only=True)
class Arguments(FolderOptions):
    """The benchmark's options."""

    nanogpt: Path
    """folder of nanoGPT, such as ../nanoGPT"""
    text: Path
    """tiny Shakespeare, such as input.txt: github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt"""


class Characters(Tokenizer):
    """The characters of a text alone, as in nanoGPT; our `char` also has every byte."""

    def __init__(self, text: str) -> None:
        self.spec, self.characters = "char", sorted(set(text))
        self.eot, self.vocab_size = len(self.characters), len(self.characters) + 1

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        return np.searchsorted(self.characters, list(text)).astype(np.uint32)

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`."""
        return [character.encode() for character in self.characters] + [b""]

    def save(self, folder: Path) -> None:
        """Write nothing: it is never loaded."""

    @classmethod
    def load(cls, spec: str, folder: Path) -> "Characters":
        """Not supported."""
        raise NotImplementedError


def write_data(folder: Path, nanogpt: Path, text: str, val_chars: int) -> None:
    """Write the same ids for both: arrays in `folder/NAME`, and nanoGPT's train.bin, val.bin and meta.pkl.

    The last tenth of the text is held out; its first `val_chars` characters are for validation.
    """
    train, held_out = text[: int(0.9 * len(text))], text[int(0.9 * len(text)) :][:val_chars]
    (folder / "text").mkdir(parents=True, exist_ok=True)
    for split, part in {"train": train, "validation": held_out, "test": held_out}.items():
        (folder / "text" / f"{split}.jsonl").write_text(json.dumps({"text": part}) + "\n")
    corpus = make_corpus(CorpusConfig(f"hub:{folder / 'text'}"), folder / "corpus")
    for tokenizer in (Characters(text), train_tokenizer("bpe-8192", [train])):
        arrays = make_arrays(corpus, tokenizer, folder / tokenizer.spec, processes=1)
        theirs = nanogpt / "data" / tokenizer.spec
        theirs.mkdir(exist_ok=True)
        (theirs / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": tokenizer.vocab_size}))
        for split in ("train", "val"):
            (ids,) = arrays.split(split).sequences()
            ids[1:-1].astype(np.uint16).tofile(theirs / f"{split}.bin")


def run_nanogpt(nanogpt: Path, shape: Shape) -> list[float]:
    """Run nanoGPT's trainer, which saves its model; returns the seconds of each step but the first ones."""
    settings = {
        **asdict(shape),
        "device": "cpu",
        "compile": False,
        "dropout": 0.0,
        "out_dir": "out",
        "log_interval": 1,
        "eval_iters": 1,
        "eval_interval": shape.max_iters,
        "always_save_checkpoint": True,
        "lr_decay_iters": shape.max_iters,
    }
    command = [sys.executable, "train.py", "config/train_shakespeare_char.py"]
    lines = output_of(command + [f"--{name}={value}" for name, value in settings.items()], cwd=nanogpt)
    return [float(found[1]) / 1000 for line in lines if (found := re.search(r"time ([\d.]+)ms", line))][3:]


def our_options(folder: Path, shape: Shape, options: Mapping[str, object] = {}) -> list[str]:
    """The options of our trainer for a new run in `folder/run`; `options` override those of the shape."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    settings: dict[str, object] = {
        "data": folder / shape.dataset,
        "out": folder / "run",
        "model.n_layer": shape.n_layer,
        "model.n_head": shape.n_head,
        "model.n_embd": shape.n_embd,
        "context.tokens": shape.block_size,
        "batch.tokens": shape.batch_size * shape.block_size,
        "budget.steps": shape.max_iters,
        "tracking.validations": 1,
        "tracking.val_chars": 1_000_000,
        "tracking.wandb": "disabled",
        **options,
    }
    return [f"--{name}={value}" for name, value in settings.items()]


def run_ours(folder: Path, shape: Shape, options: Mapping[str, object] = {}) -> list[dict]:
    """Run our trainer and return its metrics."""
    output_of([sys.executable, "train_ddp.py", *our_options(folder, shape, options)])
    return read_metrics(folder / "run" / "metrics.jsonl")


class NanoGPT(LanguageModel):
    """nanoGPT's trained model with the part of our interface that scoring needs."""

    def __init__(self, nanogpt: Path) -> None:
        checkpoint = torch.load(nanogpt / "out" / "ckpt.pt", weights_only=True)
        shape = checkpoint["model_args"]
        super().__init__(ModelConfig(), shape["vocab_size"], shape["block_size"])
        self.inner = nanogpt_model(nanogpt, **shape)
        self.inner.load_state_dict(checkpoint["model"])

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        reduction: str = "mean",
        begins: Tensor | None = None,
    ) -> Tensor:
        """Logits, or the loss with `targets`. nanoGPT computes all logits only if it gets targets."""
        logits = self.inner(idx, idx)[0]
        if targets is None:
            return logits
        kept = targets != -1
        return F.cross_entropy(logits[kept].float(), targets[kept], reduction=reduction)


def step_seconds(
    folder: Path, nanogpt: Path, shape: Shape, options: Mapping[str, object] = {}
) -> dict[str, Callable[[], float]]:
    """Functions that run each trainer briefly, nanoGPT first, and return the median seconds per step."""

    def ours() -> float:
        ended = [line["train_seconds"] for line in run_ours(folder, shape, options)]
        return float(np.median(np.diff(ended)[2:]))

    return {"nanoGPT": lambda: statistics.median(run_nanogpt(nanogpt, shape)), "ours": ours}


def quality(figures: Figures, folder: Path, nanogpt: Path, rounds: int) -> None:
    """Print both trainers' validation bits, ours after as many steps as fit in the time of nanoGPT's 2000.

    That number is measured in turn beforehand, because the speed of a shared machine drifts within minutes.
    """
    shape = SHAPES["small"]
    took = in_turn(step_seconds(folder, nanogpt, shape, RECIPE), rounds)
    fit = [NANOGPT_STEPS * ratio for ratio in ratios(took["nanoGPT"], took["ours"])]
    theirs = run_nanogpt(nanogpt, replace(shape, max_iters=NANOGPT_STEPS))
    val = TokenArrays(folder / shape.dataset).split("val")
    ids = val.sequences()[0].astype(np.int64)
    ids[[0, -1]] = 0  # nanoGPT has no end of text: use a line end, its first character, as context
    bits, _ = document_bits(score(NanoGPT(nanogpt), [ids], shape.block_size // 2), [ids])
    nanogpt_bpc = float(bits[0]) / val.chars
    last = run_ours(folder, replace(shape, max_iters=int(statistics.median(fit))), RECIPE)[-1]
    row(figures, "learnt by nanoGPT: training, seconds", statistics.mean(theirs) * NANOGPT_STEPS)
    row(figures, "learnt by nanoGPT: validation, bpc", nanogpt_bpc)
    row(figures, "learnt by ours: that many fit, steps", *fit)
    row(figures, "learnt by ours: training, seconds", last["train_seconds"])
    row(figures, "learnt by ours: validation, bpc", last["val_bpc"])
    row(figures, "learnt by ours: validation, ratio", last["val_bpc"] / nanogpt_bpc)


def main(arguments: Arguments) -> None:
    """Measure in turn and print the tables; the second part takes four minutes."""
    folder, text = arguments.folder / "nanogpt", arguments.text.read_text()
    nanogpt = folder.resolve() / "nanoGPT"
    shutil.copytree(arguments.nanogpt, nanogpt, dirs_exist_ok=True)
    write_data(folder, nanogpt, text, 5000)  # a short validation, since only speed is measured
    with table(arguments.json) as figures:
        for name, shape in SHAPES.items():
            took = in_turn(step_seconds(folder, nanogpt, shape), arguments.rounds)
            tokens = shape.batch_size * shape.block_size
            speeds = {who: [tokens / seconds for seconds in runs] for who, runs in took.items()}
            compare(figures, name, "tokens/s", speeds)
        write_data(folder, nanogpt, text, len(text))
        quality(figures, folder, nanogpt, arguments.rounds)


if __name__ == "__main__":
    run_command(main, Arguments, "Our trainer against nanoGPT's.")
