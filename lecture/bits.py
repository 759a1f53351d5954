"""All models of the walk, by loss per token and by bits per character: `python -m lecture.bits`."""

import math
from pathlib import Path

import altair as alt

from common.cli import run_command
from model.scoring import document_bits, score
from training.run import open_run

from .text import Walk


def measure(folder: Path) -> dict:
    """Score the documents that a run was validated on, and divide by tokens and by characters."""
    run = open_run(folder)
    val, model = run.arrays.split("val"), run.load_model()
    every = max(1, val.chars // run.config.tracking.val_chars)
    documents, chars = val.sequences()[::every], val.document_chars()[::every].sum()
    bits = document_bits(score(model, documents, max(1, model.block_size // 2)), documents)[0].sum()
    tokens = sum(len(ids) - 2 for ids in documents)  # without the eot at either end
    return {
        "run": folder.name,
        "chars_per_token": chars / tokens,
        "nats_per_token": bits * math.log(2) / tokens,
        "bits_per_char": bits / chars,
    }


def main(walk: Walk) -> None:
    """Print and draw a row for each run in the folder of the walk."""
    runs = [path.parent for path in sorted(walk.out.glob("*/config.yaml"))]
    if not runs:
        raise ValueError(f"{walk.out} holds no run: train one, as docs/build-the-gpt.md shows")
    rows = sorted((measure(run) for run in runs), key=lambda row: -row["bits_per_char"])
    print(f"{'run':12}{'characters per token':>22}{'nats per token':>16}{'bits per character':>20}")
    for row in rows:
        numbers = f"{row['chars_per_token']:22.2f}{row['nats_per_token']:16.2f}{row['bits_per_char']:20.2f}"
        print(f"{row['run']:12}{numbers}")
    bars = alt.Chart(alt.Data(values=rows), width=300, height=24 * len(rows)).mark_bar()
    bars = bars.encode(y=alt.Y("run:N", sort=None, title=None))
    left = bars.encode(x=alt.X("nats_per_token:Q", title="nats per token (not comparable)"))
    right = bars.encode(x=alt.X("bits_per_char:Q", title="bits per character (comparable)"))
    walk.save(alt.hconcat(left, right), "bits")


if __name__ == "__main__":
    run_command(main, Walk, "Print all models of the walk, by loss per token and by bits per character.")
