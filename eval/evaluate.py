"""Exact bits per character of a finished run on the whole test split: `python -m eval.evaluate --help`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow
import pyarrow.parquet
import yaml

from command_line import run_command
from data_prep.arrays import Split, TokenArrays
from model import load_model
from model.scoring import score
from publish import read_json, write_file, write_json
from training.checkpoint import newest_checkpoint
from training.ranks import pick_device

FORMAT = 2


def check_test_length(test: Split, block_size: int) -> None:
    """Whether the test split holds at least one whole context.

    Raises:
        ValueError: it does not; a result on so little text would say nothing.
    """
    if test.tokens < block_size:
        raise ValueError(
            f"the test split is shorter than one context: {test.tokens} tokens, block size {block_size}: "
            "give more text, a larger test_fraction or a smaller context"
        )


def finished_result(run: Path, overlap: float) -> dict | None:
    """The content of `result.json` where it is that of the newest checkpoint and of `overlap`."""
    found = newest_checkpoint(run / "checkpoints")
    plan, result = read_json(run / "plan.json"), read_json(run / "result.json")
    if found and plan and result and result["made_from"] == _made_from(plan, found[1], overlap):
        return result
    return None


def _made_from(plan: dict, state: dict, overlap: float) -> dict:
    stride = max(1, round(plan["block_size"] * (1 - overlap)))
    return {
        "format": FORMAT,
        "stride": stride,
        "checkpoint": state["files"],
        "identity": state["identity"],
    }


def evaluate_run(run: Path, overlap: float = 0.5, device: str = "auto") -> dict:
    """Score the test split with the run's final checkpoint, unless `result.json` holds just that.

    Writes `documents.parquet` (a row per test document: chars, bytes, tokens, bits, eot_bits) and
    `result.json`, which is returned. `overlap` is the share of each window that is context only.

    Raises:
        ValueError: the run is not finished, or its arrays are not those it was trained on.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap {overlap} is not at least 0 and below 1")
    if result := finished_result(run, overlap):
        return result
    found = newest_checkpoint(run / "checkpoints")
    plan = read_json(run / "plan.json")
    if not found or not plan or found[1]["step"] < plan["steps"]:
        raise ValueError(f"{run} is not a finished run: train it with train_ddp.py")
    checkpoint, state = found
    made_from = _made_from(plan, state, overlap)
    stride = made_from["stride"]
    config = yaml.safe_load((run / "config.yaml").read_text())
    arrays = TokenArrays(Path(config["data"]))
    if not arrays.fingerprints.items() <= state["identity"].items():
        raise ValueError(f"{config['data']} was made again after {run} was trained: train it again")
    test = arrays.split("test")
    check_test_length(test, plan["block_size"])
    sequences = test.sequences()
    device = pick_device(device)
    model = load_model(checkpoint / "model.safetensors", device)
    bits, eot_bits = score(model, sequences, stride, device)

    chars, sizes = test.document_chars(), test.document_bytes()
    table = {
        "chars": chars,
        "bytes": sizes,
        "tokens": [len(sequence) - 2 for sequence in sequences],  # without the two eot
        "bits": bits,
        "eot_bits": eot_bits,
    }
    content = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(table), content)
    write_file(run / "documents.parquet", content.getvalue().to_pybytes())
    per_char = 1 / plan["chars_per_token"]  # of the stream it was trained on
    flops = plan["flops_per_token"]
    result = {
        "made_from": made_from,
        "tokenizer": plan["tokenizer"],
        "kind": plan["kind"],
        "seed": config["seed"],
        "test_sha256": test.text_sha256,
        "test_chars": test.chars,
        "test_documents": test.documents,
        "vocab_size": plan["vocab_size"],
        "chars_per_token": test.chars_per_token,
        "block_size": plan["block_size"],
        "stride": stride,
        "context_chars": plan["block_size"] * test.chars_per_token,
        "params_total": plan["params_total"],
        "params_embedding": plan["params_embedding"],
        "flops_per_char": sum(flops.values()) * per_char,
        "flops_per_char_body": flops["body"] * per_char,
        "flops_per_char_attention": flops["attention"] * per_char,
        "flops_per_char_output": flops["output"] * per_char,
        "steps": plan["steps"],
        "batch_chars": plan["chars_per_step"],
        "train_chars": round(plan["train_chars"]),
        "train_seconds": state["train_seconds"],
        "precision": plan["precision"],
        "test_bpc": float(bits.sum() / chars.sum()),
        "test_bpb": float(bits.sum() / sizes.sum()),
        "lossy_documents": arrays.lossy_documents,
        "eot_bits_per_document": float(eot_bits.mean()),
    }
    write_json(run / "result.json", result)
    return result


@dataclass(frozen=True)
class Arguments:
    """Evaluate a run."""

    run: Path
    """folder of a finished run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
    overlap: float = 0.5
    """share of each window that is context only; the stride is the rest"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one"""


def main(arguments: Arguments) -> None:
    """Evaluate and print the result."""
    result = evaluate_run(arguments.run, arguments.overlap, arguments.device)
    print(
        f"{result['tokenizer']} {result['kind']}: {result['test_bpc']:.4f} bits per character, "
        f"{result['test_bpb']:.4f} per byte, over {result['test_chars']:,} characters"
    )


if __name__ == "__main__":
    run_command(main, Arguments, "Exact bits per character of a finished run on the whole test split.")
