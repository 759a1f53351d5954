"""Our trainer against nanoGPT's: tokens per second of the same model, and what is learnt in the same time.

    git clone https://github.com/karpathy/nanoGPT out/nanoGPT
    python -m benchmarks.nanogpt --nanogpt out/nanoGPT --text tinyshakespeare.txt --json figures.json

Both are started as their users start them, in turn, on the same ids: tiny Shakespeare, the last tenth for
validation. nanoGPT is not compiled (on most of these shapes it is slower so), and fp32, all that it does on
a CPU; ours takes `--precision auto`. Validation bits per character are those of `model.scoring` for both. A
ratio of tokens per second above 1 means that ours is faster; one of bits below 1, that it learns more.
"""

import hashlib
import json
import pickle
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from command_line import run_command
from data_prep.arrays import DOCUMENT, FORMAT, ArrayWriter, describe_file
from model.scoring import document_bits, score
from publish import read_json, write_json
from tokenizers import train_tokenizer
from training.tracking import read_metrics


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
RECIPE = {
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
    """how often both take their turn"""
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
    done = subprocess.run(command, cwd=nanogpt, capture_output=True, text=True, check=True)
    return [float(ms) / 1000 for ms in re.findall(r"time ([\d.]+)ms", done.stdout)][3:]


def run_ours(folder: Path, shape: Shape, steps: int, options: dict | None = None) -> list[dict]:
    """The metrics of our trainer's run; `options` go before those of the shape."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "train_ddp.py", "--data", str(folder / shape.data), "--out", str(out)]
    settings = {
        "model.n_layer": shape.n_layer,
        "model.n_head": shape.n_head,
        "model.n_embd": shape.n_embd,
        "context.tokens": shape.block_size,
        "batch.tokens": shape.batch * shape.block_size,
        "budget.steps": steps,
        "validations": 1,
        "val_chars": 1_000_000,
        "wandb": "disabled",
    } | (options or {})
    command += [f"--{name}={value}" for name, value in settings.items()]
    subprocess.run(command, capture_output=True, check=True)
    return read_metrics(out / "metrics.jsonl")


class NanoGPT(torch.nn.Module):
    """nanoGPT's model behind our interface, as far as scoring needs it."""

    def __init__(self, nanogpt: Path) -> None:
        super().__init__()
        sys.path.insert(0, str(nanogpt))
        namespace: dict = {"__name__": "nanogpt_model"}
        exec(compile((nanogpt / "model.py").read_text(), "model.py", "exec"), namespace)
        sys.path.pop(0)
        checkpoint = torch.load(nanogpt / "out" / "ckpt.pt", weights_only=False)
        self.inner = namespace["GPT"](namespace["GPTConfig"](**checkpoint["model_args"]))
        self.inner.load_state_dict(checkpoint["model"])
        self.block_size = checkpoint["model_args"]["block_size"]
        self.vocab_size = checkpoint["model_args"]["vocab_size"]

    def forward(self, idx: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
        """The loss of each target that is not -1, in order; given any targets, nanoGPT has all logits."""
        logits, kept = self.inner(idx, idx)[0], targets != -1
        return F.cross_entropy(logits[kept].float(), targets[kept], reduction=reduction)


def quality(folder: Path, nanogpt: Path, rounds: int) -> dict[str, float]:
    """Validation bits per character of both, ours after as many steps as fit into nanoGPT's 2000.

    How many do is measured in turn before: within minutes, the speed of a shared machine drifts.
    """
    shape, ratios = SHAPES[1], []
    for _ in range(rounds):
        theirs = statistics.median(run_nanogpt(nanogpt, shape))
        seconds = [line["train_seconds"] for line in run_ours(folder, shape, 100, RECIPE)]
        ratios.append(theirs / statistics.median(np.diff(seconds)))
    steps = int(NANOGPT_STEPS * statistics.median(ratios))
    options = [f"--max_iters={NANOGPT_STEPS}", f"--lr_decay_iters={NANOGPT_STEPS}"]
    options += [f"--eval_interval={NANOGPT_STEPS}", "--always_save_checkpoint=True"]
    theirs = run_nanogpt(nanogpt, shape, *options)
    manifest = read_json(folder / shape.data / "manifest.json")
    ids = np.load(folder / shape.data / "val-00000.tokens.npy").astype(np.int64)
    ids[[0, -1]] = 0  # nanoGPT knows no end of text: a line end, the first of the characters, is its context
    bits, _ = document_bits(score(NanoGPT(nanogpt), [ids], shape.block_size // 2), [ids])
    nanogpt_bpc = float(bits[0]) / manifest["splits"]["val"]["chars"]
    last = run_ours(folder, shape, steps, RECIPE)[-1]
    return {
        "nanogpt_seconds": sum(theirs) / len(theirs) * NANOGPT_STEPS,
        "nanogpt_val_bpc": nanogpt_bpc,
        "ours_seconds": last["train_seconds"],
        "ours_steps": last["step"],
        "ours_steps_lowest": int(NANOGPT_STEPS * min(ratios)),
        "ours_val_bpc": last["val_bpc"],
        "val_bpc_ratio": last["val_bpc"] / nanogpt_bpc,
    }


def main(arguments: Arguments) -> None:
    """Measure in turn and print the tables."""
    nanogpt, text = arguments.folder.resolve() / "nanoGPT", arguments.text.read_text()
    shutil.copytree(arguments.nanogpt, nanogpt, dirs_exist_ok=True)
    for name in {shape.data for shape in SHAPES}:
        write_data(arguments.folder, nanogpt, name, text, 5000)  # speed does not want a long validation
    figures = {}
    print(f"{'tokens/s':32}{'median':>10}{'lowest':>10}{'highest':>10}")
    for shape in SHAPES:
        tokens = shape.batch * shape.block_size
        theirs, ours = [], []
        for _ in range(arguments.rounds):
            theirs.append(tokens / statistics.median(run_nanogpt(nanogpt, shape)))
            metrics = run_ours(arguments.folder, shape, shape.steps)[3:]
            ours.append(statistics.median(line["tokens_per_second"] for line in metrics))
        ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
        for name, values, digits in (("nanoGPT", theirs, 0), ("ours", ours, 0), ("ratio", ratios, 2)):
            shown = (statistics.median(values), min(values), max(values))
            print(
                f"{shape.name + ', ' + name:32}" + "".join(f"{v:>10,.{digits}f}" for v in shown), flush=True
            )
        figures[f"{shape.name}_nanogpt_tokens_per_s"] = statistics.median(theirs)
        figures[f"{shape.name}_ours_tokens_per_s"] = statistics.median(ours)
        figures[f"{shape.name}_ratio"] = statistics.median(ratios)
    if arguments.quality:
        write_data(arguments.folder, nanogpt, SHAPES[1].data, text, len(text))
        found = quality(arguments.folder, nanogpt, arguments.rounds)
        print()
        for name, value in found.items():
            print(f"{name:32}{value:>10,.3f}")
        figures |= found
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "Our trainer against nanoGPT's.")
