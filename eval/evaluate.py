"""Exact bits per character of a finished run on the test split, and on further texts:

    python -m eval.evaluate --help
    torchrun --nproc-per-node 2 -m -- eval.evaluate --run out/shakespeare/runs/bpe-2048/gpt/seed0

The second command gives exactly the same result with two processes. (Without `--`, torchrun reads `--run` as
its own option.)
"""

import io
import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow
import pyarrow.parquet

from common.cli import run_command
from common.files import read_json, write_file, write_json
from comparison import Comparison, RunSpec
from comparison.config import TEST, scores_folder
from comparison.protocol import check_test_length, run_stride, window_stride
from comparison.runs import trained
from data_prep.arrays import TokenArrays
from model import LanguageModel
from model.scoring import Scoring, document_bits, score, scored_in
from training.checkpoint import newest_checkpoint
from training.ranks import Ranks, end, join, leave
from training.run import TrainedRun, open_run
from training.tracking import read_metrics

from .inference_cost import measure_inference_cost

FORMAT = 5


@dataclass(frozen=True, kw_only=True)
class Text:
    """A further text to score."""

    data: Path
    """folder of its token arrays, made with the tokenizer of the run"""
    context_chars: int | None = None
    """score it a second time, in windows of about this many characters"""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A run, and how it is scored."""

    run: Path
    """folder of the run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
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
    texts: dict[str, Text] = field(default_factory=dict)
    """further texts to score in the same way, each under its name, such as
    {poems: {data: out/shakespeare/texts/poems/data/bpe-2048}}"""

    def __post_init__(self) -> None:
        for name in ("stride", "context_chars", "test_chars"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")

    def context_of(self, text: str) -> int | None:
        """The characters of a text in the windows in which it is scored a second time."""
        return self.context_chars if text == TEST else self.texts[text].context_chars

    def made_from(self, state: dict, text: str, arrays: TokenArrays | None) -> dict:
        """The `made_from` of a result; `state` is that of the checkpoint, `arrays` are those of the text.

        The checkpoint's own state identifies the arrays of the test split.
        """
        return {
            "format": FORMAT,
            "stride": self.stride,
            "context_chars": self.context_of(text),
            "test_chars": self.test_chars,
            "scoring": self.scoring,
            "checkpoint": state["files"],
            "identity": state["identity"],
        } | ({"text": arrays.fingerprints} if arrays and text != TEST else {})


Matched = dict[str, int | None]  # the return value of `matched_contexts`


def evaluation_of(comparison: Comparison, run: RunSpec, matched: Matched) -> Evaluation:
    """The evaluation of a run, on all texts, as a comparison asks."""
    return Evaluation(
        run=run.folder,
        stride=run_stride(comparison, run),
        context_chars=matched[TEST],
        test_chars=comparison.test_chars,
        scoring=comparison.scoring,
        texts={
            name: Text(data=comparison.data(run.tokenizer, name), context_chars=matched[name])
            for name in comparison.texts
        },
    )


def evaluation_options(comparison: Comparison, run: RunSpec, matched: Matched) -> list[str]:
    """The evaluation of a run as command-line options."""
    evaluation = evaluation_of(comparison, run, matched)
    texts = {name: asdict(text) for name, text in evaluation.texts.items()}
    options = {**vars(evaluation), "texts": json.dumps(texts, default=str) if texts else None}
    return [f"--{name}={value}" for name, value in options.items() if value is not None]


def evaluate_options(comparison: Comparison, run: RunSpec, matched: Matched) -> list[str]:
    """The options of this module's command for a run."""
    return [*evaluation_options(comparison, run, matched), f"--device={run.config.execution.device}"]


def unscored_texts(evaluation: Evaluation) -> list[str]:
    """The texts without a result of the newest checkpoint in this evaluation; `test` is the test split.

    Raises:
        ValueError: there is a result on a further text, but its arrays are missing.
    """
    found = newest_checkpoint(evaluation.run / "checkpoints")
    texts = [TEST, *evaluation.texts]
    return [name for name in texts if not (found and _finished(evaluation, found[1], name))]


def evaluated(comparison: Comparison, run: RunSpec, matched: Matched) -> bool:
    """True if the run is trained, and evaluated on all texts as the comparison asks."""
    return not unscored_texts(evaluation_of(comparison, run, matched)) and trained(run)


def _finished(evaluation: Evaluation, state: dict, text: str) -> dict | None:
    """The content of the `result.json` of a text if it is up to date, else None."""
    result = read_json(scores_folder(evaluation.run, text) / "result.json")
    if not result:
        return None
    arrays = TokenArrays(evaluation.texts[text].data) if text != TEST else None
    return result if result["made_from"] == evaluation.made_from(state, text, arrays) else None


def evaluate_run(evaluation: Evaluation, ranks: Ranks | None = None) -> dict[str, dict]:
    """Score the test split and further texts with the final checkpoint of a run, unless that is done.

    Writes for each text `token_bits.npy` (1-d float16: the bits of each token and of the `eot` after each
    document), `documents.parquet` (a row per scored document: chars, bytes, tokens, bits, eot_bits) and
    `result.json`, whose content is returned by name of the text; that of the test split is `test`. `ranks`
    are the processes that share the work (default: this one, or torchrun's).

    Raises:
        ValueError: the run is not finished, its arrays are not those it was trained on, those of a further
            text were made with another tokenizer, or a text is shorter than one context.
    """
    folder = evaluation.run
    opened, plan = open_run(folder), read_json(folder / "plan.json")
    if not plan or not opened.state["finished"]:
        raise ValueError(f"{folder} is not a finished run: train it with train_ddp.py")
    evaluation = replace(
        evaluation,
        stride=evaluation.stride or window_stride(plan["block_size"]),
        scoring=evaluation.scoring or opened.config.scoring,
    )
    found, model = {}, None
    for name in (TEST, *evaluation.texts):
        if result := _finished(evaluation, opened.state, name):
            found[name] = result
            continue
        arrays = opened.arrays if name == TEST else _arrays_of_text(opened, evaluation.texts[name])
        ranks = ranks or join("auto")
        model = model or opened.load_model(ranks.device)
        result = {
            "made_from": evaluation.made_from(opened.state, name, arrays),
            **_facts(opened, plan),
            **_score(evaluation, plan, model, name, arrays, ranks),
        }
        if name == TEST:
            generation = measure_inference_cost(model, ranks.device)
            per_token = result["chars_per_token"]
            result["generation_chars_per_second"] = generation["tokens_per_second"] * per_token
            result["cache_bytes_per_char"] = generation["cache_bytes_per_token"] / per_token
        if ranks.main:
            write_json(scores_folder(folder, name) / "result.json", result)
        found[name] = result
    return found


def _arrays_of_text(opened: TrainedRun, text: Text) -> TokenArrays:
    """Open the arrays of a further text, and check that they have the tokens of the run."""
    arrays = TokenArrays(text.data)
    if arrays.fingerprints["tokenizer_fingerprint"] != opened.arrays.fingerprints["tokenizer_fingerprint"]:
        raise ValueError(f"{text.data} was made with another tokenizer than {opened.folder}: encode it again")
    return arrays


def _facts(opened: TrainedRun, plan: dict) -> dict:
    """What is known of a run before it is scored."""
    state, flops = opened.state, plan["flops_per_token"]
    train_tokens = state["step"] * plan["sequences_per_step"] * plan["block_size"]
    train_chars = state["step"] * plan["chars_per_step"]
    per_char = 1 / plan["chars_per_token"]  # of the training stream
    return {
        "tokenizer": plan["tokenizer"],
        "kind": plan["kind"],
        "seed": opened.config.seed,
        "vocab_size": plan["vocab_size"],
        "block_size": plan["block_size"],
        "n_embd": plan["n_embd"],
        "lr": opened.config.optimizer.lr,
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
        "memory_gb": read_metrics(opened.folder / "metrics.jsonl")[-1]["memory_gb"],
        "precision": plan["precision"],
    }


def _score(
    evaluation: Evaluation, plan: dict, model: LanguageModel, name: str, arrays: TokenArrays, ranks: Ranks
) -> dict:
    """Score a text, write the bits of its tokens and documents, and return what belongs in its result."""
    test, stride, scoring = arrays.split("test", evaluation.test_chars), evaluation.stride, evaluation.scoring
    assert stride is not None and scoring is not None
    check_test_length(test, plan["block_size"], name)
    sequences, began = test.sequences(), time.perf_counter()

    def score_all(stride: int, block_size: int) -> np.ndarray:
        part = (ranks.rank, ranks.world_size)
        return ranks.sum_array(score(model, sequences, stride, ranks.device, block_size, part, scoring))

    token_bits = score_all(stride, plan["block_size"])
    bits, eot_bits = document_bits(token_bits, sequences)
    chars, sizes = test.document_chars(), test.document_bytes()
    matched = {}
    if (context_chars := evaluation.context_of(name)) is not None:
        block_size = min(plan["block_size"], max(1, round(context_chars / test.chars_per_token)))
        again = score_all(max(1, round(stride * block_size / plan["block_size"])), block_size)
        matched["test_bpc_matched"] = float(document_bits(again, sequences)[0].sum() / chars.sum())
        matched["matched_context_chars"] = block_size * test.chars_per_token
    seconds = time.perf_counter() - began

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
        np.save(compact, token_bits.astype(np.float16))
        folder = scores_folder(evaluation.run, name)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "documents.parquet", documents.getvalue())
        write_file(folder / "token_bits.npy", compact.getvalue())
    return {
        "test_sha256": test.text_sha256,
        "test_chars": test.chars,
        "test_documents": test.documents,
        "chars_per_token": test.chars_per_token,
        "stride": stride,
        "context_chars": plan["block_size"] * test.chars_per_token,
        "test_seconds": seconds,
        "scoring": scored_in(scoring, ranks.device),
        "test_bpc": float(bits.sum() / chars.sum()),
        "test_bpb": float(bits.sum() / sizes.sum()),
        **matched,
        "lossy_documents": arrays.lossy_documents,
        "eot_bits_per_document": float(eot_bits.mean()),
    }


@dataclass(frozen=True, kw_only=True)
class Arguments(Evaluation):
    """Evaluate a run."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there is a GPU, else cpu"""


def main(arguments: Arguments) -> int:
    """Evaluate and print the results."""
    results = evaluate_run(arguments, join(arguments.device))
    if int(os.environ.get("RANK", 0)) == 0:
        for name, result in results.items():
            print(
                f"{result['tokenizer']} {result['kind']}: {result['test_bpc']:.4f} bits per character, "
                f"{result['test_bpb']:.4f} per byte, over {result['test_chars']:,} characters"
                f"{f' of {name}' * (name != TEST)}"
            )
    return leave(0)


if __name__ == "__main__":
    run_command(main, Arguments, "Compute the exact bits per character of a finished run.", end)
