"""All models of the walk, by loss per token and by bits per character: `python -m lecture.bits`."""

import math
from pathlib import Path

import altair as alt
import pyarrow.parquet

from common.cli import run_command
from eval.evaluate import evaluate_run

from .text import Walk


def measure(run: Path) -> dict:
    """The test text of a run: characters per token, nats per token, bits per character."""
    evaluate_run(run)  # writes documents.parquet, unless it is there
    documents = pyarrow.parquet.read_table(run / "documents.parquet")
    chars, tokens, bits = (sum(documents.column(name).to_pylist()) for name in ("chars", "tokens", "bits"))
    return {
        "run": run.name,
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
    chart = alt.Chart(alt.Data(values=rows), width=380, height=24 * len(rows)).mark_bar()
    bars = chart.encode(y=alt.Y("run:N", sort=None, title=None))
    left = bars.encode(x=alt.X("nats_per_token:Q", title="nats per token: not comparable"))
    right = bars.encode(x=alt.X("bits_per_char:Q", title="bits per character: comparable"))
    walk.save(alt.hconcat(left, right), "bits")


if __name__ == "__main__":
    run_command(main, Walk, "Print all models of the walk, by loss per token and by bits per character.")
