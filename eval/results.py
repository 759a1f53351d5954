"""The rows of a comparison: what every run scored on the same text, with intervals."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet
import yaml

from publish import read_json
from tokenizers import folder_name

from .statistics import bootstrap_bpc, interval


def run_folders(comparison: dict, folder: Path) -> list[tuple[str, str, int, Path]]:
    """Tokenizer, name of the model, seed and folder of every run that a comparison asks for."""
    return [
        (tokenizer, model, seed, folder / "runs" / folder_name(tokenizer) / model / f"seed{seed}")
        for tokenizer in comparison["tokenizers"]
        for model in comparison["models"]
        for seed in comparison["seeds"]
    ]


def read_comparison(folder: Path) -> dict:
    """The frozen configuration of a comparison.

    Raises:
        ValueError: the folder holds none.
    """
    path = folder / "comparison.yaml"
    if not path.exists():
        raise ValueError(f"{folder} holds no comparison: make one with compare.py")
    return yaml.safe_load(path.read_text())


def collect_results(folder: Path) -> dict:
    """The content of results.json: rows by bits per character, best first.

    Every row says how far it is behind the best of its model, with the interval of that paired difference.
    Rows of tokenizers that lose text stand apart, in `lossy_rows`, and are not ranked.

    Raises:
        ValueError: a run that is not evaluated, is of other options than the comparison's, or scored other
            text than the rest; or there is no tokenizer that keeps the text.
    """
    comparison = read_comparison(folder)
    rows, lossy_rows, bits, chars = [], [], [], None
    first = None
    for _, model, _, run in run_folders(comparison, folder):
        result = read_json(run / "result.json")
        if result is None:
            raise ValueError(f"{run} is not evaluated: run compare.py, or python -m eval.evaluate")
        first = first or (run, result)
        for key in ("test_sha256", "test_chars", "test_documents"):
            if result[key] != first[1][key]:
                raise ValueError(
                    f"{run} scored another test text than {first[0]} ({key} differs): "
                    "a report never mixes them; evaluate both on one corpus"
                )
        wanted = {key: comparison[key] for key in ("context", "batch", "budget")} | comparison["models"][
            model
        ]
        identity = result.pop("made_from")["identity"]
        if differs := [key for key in wanted if identity[key] != wanted[key]]:
            raise ValueError(f"{run} was trained with another {', '.join(differs)} than comparison.yaml says")
        table = pyarrow.parquet.read_table(run / "documents.parquet")
        document_bits = table.column("bits").to_numpy()
        chars = table.column("chars").to_numpy()
        if not math.isclose(document_bits.sum() / chars.sum(), result["test_bpc"]):
            raise ValueError(f"{run / 'documents.parquet'} is not of {run / 'result.json'}: remove both")
        row = {"tokenizer": result["tokenizer"], "model": model, **result}
        if result["lossy_documents"]:
            lossy_rows.append(row)
        else:
            rows.append(row)
            bits.append(document_bits)
    if not rows:
        raise ValueError(
            f"{folder}: every tokenizer loses text, so there is nothing to rank: add one that does not"
        )

    samples = bootstrap_bpc(np.array(bits), chars)
    low, high = interval(samples)
    for i, row in enumerate(rows):
        row["test_bpc_low"], row["test_bpc_high"] = float(low[i]), float(high[i])
        same_model = [j for j, other in enumerate(rows) if other["model"] == row["model"]]
        best = min(same_model, key=lambda j: rows[j]["test_bpc"])
        behind_low, behind_high = interval(samples[:, i] - samples[:, best])
        row["behind_best"] = row["test_bpc"] - rows[best]["test_bpc"]
        row["behind_best_low"], row["behind_best_high"] = float(behind_low), float(behind_high)
    rows.sort(key=lambda row: row["test_bpc"])
    return {
        "comparison": folder.name,
        "corpus": {
            "test_chars": first[1]["test_chars"],
            "test_documents": first[1]["test_documents"],
            "test_sha256": first[1]["test_sha256"],
        },
        "rows": rows,
        "lossy_rows": lossy_rows,
    }
