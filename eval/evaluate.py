"""Exact bits per character of a finished run on the test split: `python -m eval.evaluate --help`.

    torchrun --nproc-per-node 2 -m -- eval.evaluate --run out/shakespeare/runs/bpe-2048/gpt/seed0

gives exactly the same result with two processes. (Without `--`, torchrun reads `--run` as its own option.)
"""

import io
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow
import pyarrow.parquet

from common.cli import run_command
from common.files import read_json, write_file, write_json
from comparison import Comparison, RunSpec
from comparison.protocol import check_test_length, run_stride, window_stride
from comparison.runs import trained
from model.scoring import Scoring, document_bits, score, scored_in
from training.checkpoint import newest_checkpoint
from training.ranks import Ranks, end, join, leave
from training.run import open_run
from training.tracking import read_metrics

from .inference_cost import measure_inference_cost

FORMAT = 5


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a run is scored."""

    stride: int | None = None
    """tokens by which windows advance; the rest of a window serves only as context (default: half of
    block_size)"""
    context_chars: int | None = None
    """score a second time, in windows of about this many characters (default: only in windows of
    block_size)"""
    test_chars: int | None = None
    """score only whole test documents with this many characters in all, drawn at random (default: the whole
    test split)"""
    scoring: Scoring | None = None
    """precision: fp32, tf32 or bf16 (default: that of the run's validations)"""

    def __post_init__(self) -> None:
        for name in ("stride", "context_chars", "test_chars"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")


def protocol_of(comparison: Comparison, run: RunSpec, matched: int | None) -> Protocol:
    """The protocol of a comparison for a run; `matched` is the return value of `matched_context`."""
    return Protocol(
        stride=run_stride(comparison, run),
        context_chars=matched,
        test_chars=comparison.test_chars,
        scoring=comparison.scoring,
    )


def protocol_options(comparison: Comparison, run: RunSpec, matched: int | None) -> list[str]:
    """The protocol of a run as command-line options; `matched` as for `protocol_of`."""
    protocol = asdict(protocol_of(comparison, run, matched))
    return [f"--{name}={value}" for name, value in protocol.items() if value is not None]


def evaluate_options(comparison: Comparison, run: RunSpec, matched: int | None) -> list[str]:
    """The options of this module's command for a run; `matched` as for `protocol_of`."""
    options = [f"--run={run.folder}", f"--device={run.config.execution.device}"]
    return options + protocol_options(comparison, run, matched)


def finished_result(run: Path, protocol: Protocol) -> dict | None:
    """The content of `result.json` if it is of the newest checkpoint and this protocol, else None."""
    found, result = newest_checkpoint(run / "checkpoints"), read_json(run / "result.json")
    if found and result and result["made_from"] == _made_from(found[1], protocol):
        return result
    return None


def evaluated(comparison: Comparison, run: RunSpec, matched: int | None) -> bool:
    """True if the run is trained and evaluated as the comparison asks; `matched` as for `protocol_of`."""
    return bool(finished_result(run.folder, protocol_of(comparison, run, matched))) and trained(run)


def _made_from(state: dict, protocol: Protocol) -> dict:
    known = {field.name: getattr(protocol, field.name) for field in fields(Protocol)}
    return {"format": FORMAT, **known, "checkpoint": state["files"], "identity": state["identity"]}


def evaluate_run(folder: Path, protocol: Protocol | None = None, ranks: Ranks | None = None) -> dict:
    """Score the test split with the final checkpoint of a run, unless `result.json` is up to date.

    Writes `token_bits.npy` (1-d float16: the bits of each token and of the `eot` after each document),
    `documents.parquet` (a row per scored document: chars, bytes, tokens, bits, eot_bits) and `result.json`,
    whose content is returned. `ranks` are the processes that share the work (default: this one, or
    torchrun's).

    Raises:
        ValueError: the run is not finished, or its arrays are not those it was trained on.
    """
    opened, plan = open_run(folder), read_json(folder / "plan.json")
    state, config = opened.state, opened.config
    if not plan or not state["finished"]:
        raise ValueError(f"{folder} is not a finished run: train it with train_ddp.py")
    protocol = protocol or Protocol()
    stride, scoring = protocol.stride or window_stride(plan["block_size"]), protocol.scoring or config.scoring
    protocol = replace(protocol, stride=stride, scoring=scoring)
    if result := finished_result(folder, protocol):
        return result
    test = opened.arrays.split("test", protocol.test_chars)
    check_test_length(test, plan["block_size"])
    sequences = test.sequences()
    ranks, began = ranks or join("auto"), time.perf_counter()
    model = opened.load_model(ranks.device)

    def score_test(stride: int, block_size: int) -> np.ndarray:
        part = (ranks.rank, ranks.world_size)
        return ranks.sum_array(score(model, sequences, stride, ranks.device, block_size, part, scoring))

    token_bits = score_test(stride, plan["block_size"])
    bits, eot_bits = document_bits(token_bits, sequences)
    chars, sizes = test.document_chars(), test.document_bytes()
    matched = {}
    if protocol.context_chars is not None:
        block_size = min(plan["block_size"], max(1, round(protocol.context_chars / test.chars_per_token)))
        again = score_test(max(1, round(stride * block_size / plan["block_size"])), block_size)
        matched["test_bpc_matched"] = float(document_bits(again, sequences)[0].sum() / chars.sum())
        matched["matched_context_chars"] = block_size * test.chars_per_token

    seconds = time.perf_counter() - began

    flops = plan["flops_per_token"]
    train_tokens = state["step"] * plan["sequences_per_step"] * plan["block_size"]
    per_char = 1 / plan["chars_per_token"]  # of the training stream
    generation = measure_inference_cost(model, ranks.device)
    train_chars = state["step"] * plan["chars_per_step"]
    result = {
        "made_from": _made_from(state, protocol),
        "tokenizer": plan["tokenizer"],
        "kind": plan["kind"],
        "seed": config.seed,
        "test_sha256": test.text_sha256,
        "test_chars": test.chars,
        "test_documents": test.documents,
        "vocab_size": plan["vocab_size"],
        "chars_per_token": test.chars_per_token,
        "block_size": plan["block_size"],
        "stride": stride,
        "context_chars": plan["block_size"] * test.chars_per_token,
        "n_embd": plan["n_embd"],
        "lr": config.optimizer.lr,
        "params_total": plan["params_total"],
        "params_embedding": plan["params_embedding"],
        "flops_per_char": sum(flops.values()) * per_char,
        **{f"flops_per_char_{part}": flops[part] * per_char for part in ("body", "attention", "output")},
        "steps": state["step"],
        "batch_chars": plan["chars_per_step"],
        "train_chars": round(train_chars),
        "train_flops": train_tokens * sum(flops.values()),
        "train_seconds": state["train_seconds"],
        "train_chars_per_second": train_chars / state["train_seconds"],
        "test_seconds": seconds,
        "memory_gb": read_metrics(folder / "metrics.jsonl")[-1]["memory_gb"],
        "generation_chars_per_second": generation["tokens_per_second"] * test.chars_per_token,
        "cache_bytes_per_char": generation["cache_bytes_per_token"] / test.chars_per_token,
        "precision": plan["precision"],
        "scoring": scored_in(scoring, ranks.device),
        "test_bpc": float(bits.sum() / chars.sum()),
        "test_bpb": float(bits.sum() / sizes.sum()),
        **matched,
        "lossy_documents": opened.arrays.lossy_documents,
        "eot_bits_per_document": float(eot_bits.mean()),
    }
    if ranks.main:
        table = {
            "chars": chars,
            "bytes": sizes,
            "tokens": [len(sequence) - 2 for sequence in sequences],  # without the eot at either end
            "bits": bits,
            "eot_bits": eot_bits,
        }
        documents, compact = io.BytesIO(), io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(table), documents)
        write_file(folder / "documents.parquet", documents.getvalue())
        np.save(compact, token_bits.astype(np.float16))
        write_file(folder / "token_bits.npy", compact.getvalue())
        write_json(folder / "result.json", result)
    return result


@dataclass(frozen=True, kw_only=True)
class Arguments(Protocol):
    """Evaluate a run."""

    run: Path
    """folder of a finished run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there is a GPU, else cpu"""


def main(arguments: Arguments) -> int:
    """Evaluate and print the result."""
    result = evaluate_run(arguments.run, arguments, join(arguments.device))
    if int(os.environ.get("RANK", 0)) == 0:
        print(
            f"{result['tokenizer']} {result['kind']}: {result['test_bpc']:.4f} bits per character, "
            f"{result['test_bpb']:.4f} per byte, over {result['test_chars']:,} characters"
        )
    return leave(0)


if __name__ == "__main__":
    run_command(
        main, Arguments, "Compute the exact bits per character of a finished run on the test split.", end
    )
