"""The rows of a comparison: what every run scored on the same text, with intervals."""

from pathlib import Path

import numpy as np
import pyarrow.parquet
import yaml

from publish import read_json

from .statistics import bootstrap_bpc, interval


def run_folders(folder: Path) -> list[tuple[str, Path]]:
    """Name of the model and run folder of every run that `comparison.yaml` asks for."""
    comparison = yaml.safe_load((folder / "comparison.yaml").read_text())
    return [
        (model, folder / "runs" / tokenizer / model / f"seed{seed}")
        for tokenizer in comparison["tokenizers"]
        for model in comparison["models"]
        for seed in comparison["seeds"]
    ]


def collect_results(folder: Path) -> dict:
    """The content of results.json: rows by bits per character, best first.

    Every row says how far it is behind the best, with the interval of that paired difference.

    Raises:
        ValueError: a run that is not evaluated, or one that scored other text than the rest.
    """
    rows, bits, chars = [], [], None
    first = None
    for model, run in run_folders(folder):
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
        table = pyarrow.parquet.read_table(run / "documents.parquet")
        bits.append(table.column("bits").to_numpy())
        chars = table.column("chars").to_numpy()
        del result["made_from"]
        rows.append({"tokenizer": result["tokenizer"], "model": model, **result})

    samples = bootstrap_bpc(np.array(bits), chars)
    low, high = interval(samples)
    best = min(range(len(rows)), key=lambda i: rows[i]["test_bpc"])
    behind_low, behind_high = interval(samples - samples[:, [best]])
    for i, row in enumerate(rows):
        row["test_bpc_low"], row["test_bpc_high"] = float(low[i]), float(high[i])
        row["behind_best"] = row["test_bpc"] - rows[best]["test_bpc"]
        row["behind_best_low"], row["behind_best_high"] = float(behind_low[i]), float(behind_high[i])
    rows.sort(key=lambda row: row["test_bpc"])
    return {
        "comparison": folder.name,
        "corpus": {
            "test_chars": first[1]["test_chars"],
            "test_documents": first[1]["test_documents"],
            "test_sha256": first[1]["test_sha256"],
        },
        "rows": rows,
    }
