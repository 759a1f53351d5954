"""The document about a comparison in wandb."""

from typing import TYPE_CHECKING

from comparison import Comparison, RunSpec, protocol
from comparison.runs import counted_runs
from training.wandb_runs import run_id

from ..results import grouped
from . import tables
from .answer import answer
from .markdown import escape

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import PanelGrid, Report
    from wandb_workspaces.reports.v2.interface import BlockTypes

PROJECT = "codebook"
TITLE = 128  # characters that the title of a document may have


def make_document(comparison: Comparison, results: dict, entity: str) -> "Report":
    """The document of a comparison. `entity` owns the project; with "", no server is contacted."""
    import wandb_workspaces.reports.v2 as wr

    rows = results["rows"]
    said = "\n\n".join(map(escape, answer(results)))
    runs = grouped(counted_runs(comparison), lambda run: run.model)
    blocks: list[BlockTypes] = [
        wr.MarkdownBlock(said),
        wr.MarkdownBlock(tables.as_markdown(rows, tables.columns_of(rows))),
    ]
    for model in dict.fromkeys(row["model"] for row in rows):
        blocks += [wr.H2(model), _panels(model, runs[model], entity)]
    blocks += [wr.H2("How to read it"), wr.MarkdownBlock(_how_to_read(comparison, results["corpus"]))]
    title = f"{comparison.name}: the trade-off between vocabulary size and sequence length"
    return wr.Report(project=PROJECT, entity=entity, title=title[:TITLE], blocks=blocks)


def _panels(model: str, runs: list[RunSpec], entity: str) -> "PanelGrid":
    """Charts of the runs of one model, grouped by tokenizer; runs with other budgets would blur the means."""
    import wandb_workspaces.reports.v2 as wr

    chosen = wr.Runset(
        entity=entity,
        project=PROJECT,
        name=model,
        filters=f"Metric('ID') in {[run_id(run.folder) for run in runs]}",
        groupby=["config.tokenizer"],
    )
    val, test = "bits per character, validation", "bits per character, test"
    panels: list[wr.LinePlot | wr.ScatterPlot] = [
        wr.LinePlot(title=f"{val}, at equal text", x="chars", y=["val_bpc"], title_y=val),
        wr.LinePlot(title=f"{val}, at equal compute", x="flops", y=["val_bpc"], title_y=val),
        wr.ScatterPlot(
            title=f"{test}, by vocabulary size",
            x=wr.Config("vocab_size"),
            y=wr.SummaryMetric("test_bpc"),
            log_x=True,
        ),
    ]
    for place, panel in enumerate(panels):
        panel.layout = wr.Layout(x=8 * place, w=8, h=8)
    return wr.PanelGrid(runsets=[chosen], panels=[*panels])


def _how_to_read(comparison: Comparison, corpus: dict) -> str:
    of = (
        "the seeds and the test text"
        if any(len(comparison.seeds_of(model)) > 1 for model in comparison.models)
        else "the test text"
    )
    return f"""- **Bits per character** (bpc): the bits that a model needs for the test text, divided by the
  characters of its source. Fewer are better. All tokenizers are scored on the same {corpus["test_chars"]:,}
  characters of {corpus["test_documents"]:,} documents, so their numbers can be compared, unlike losses per
  token.
- **Protocol.** {protocol.in_words(comparison)}
- **Intervals** are 95 %, and cover the choice of {of}.
  "Behind the lowest" is a paired comparison, and holds for all tokenizers at once.
- **Charts.** A line is the mean of a tokenizer's runs. At equal characters, tokenizers have seen the same
text; at equal FLOPs, they have used the same compute. A point is its score on the test text."""
