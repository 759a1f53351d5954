"""The report in wandb, as a run and as a document: `python -m eval.report.wandb_report --help`.

The run of job type `report` has the trade-off as a table, the figures as interactive charts and as images,
and the page. The document has the answer, the table, and interactive charts of the training runs.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.cli import run_command
from common.errors import Failed
from common.files import read_json, write_file, write_json
from comparison import Comparison, load_comparison
from training.wandb_runs import wandb_mode

from .charts.figure import standalone
from .wandb_artifacts import WandbLog, bounded_wandb
from .wandb_document import PROJECT, make_document


def log_report(comparison: Comparison, results: dict, mode: str) -> None:
    """Log a comparison and its report to wandb, except what has already been logged.

    Raises nothing: errors of wandb are reported in a line on stderr.
    """
    mode = wandb_mode(mode)
    if mode == "disabled":
        return
    try:
        bounded_wandb()
        log = WandbLog(comparison, mode)
        log.data()
        if log.mode == "online":
            log.checkpoints()
        log.results(results)
        log.once("report", results, lambda: _log_run(log, results))
    except Exception as error:  # no error of wandb may lose a report
        print(f"codebook: {_failure(error, comparison.folder)}", file=sys.stderr)


def _failure(error: Exception, folder: Path) -> str:
    return f"wandb failed ({' '.join(str(error).split())}): the report is in {folder / 'report'}"


def _log_run(log: WandbLog, results: dict) -> None:
    import wandb

    rows, folder = results["rows"], log.folder / "report"
    columns = list(rows[0])
    with log.start("report", log.folder) as run:
        log.use(run, "tokenizer", *log.tokenizers)
        log.use(run, "checkpoint", *map(log.run_name, log.runs))
        log.make(run, "results", "", folder / "results.json")
        run.log(
            {
                "trade-off": wandb.Table(columns, [[row[column] for column in columns] for row in rows]),
                **_on_texts(results["texts"]),
                "report": wandb.Html(str(folder / "report.html"), inject=False),
                **_charts(folder / "figures"),
            }
        )
        run.summary.update({"best_tokenizer": rows[0]["tokenizer"], "best_test_bpc": rows[0]["test_bpc"]})


def _on_texts(texts: dict[str, dict]) -> dict:
    """A table of the rows of all further texts, if there are any."""
    import wandb

    rows = [{"text": name, **row} for name, of in texts.items() for row in of.get("rows", [])]
    if not rows:
        return {}
    columns = list(rows[0])
    return {"other texts": wandb.Table(columns, [[row.get(column) for column in columns] for row in rows])}


def _charts(figures: Path) -> dict:
    """Every figure as an interactive chart, which needs no network, and as an image."""
    import wandb

    found: dict[str, wandb.Html | wandb.Image] = {}
    for path in sorted(figures.glob("*.json")):
        page = standalone(json.loads(path.read_text()), path.stem)
        found[f"charts/{path.stem}"] = wandb.Html(page, inject=False)
        found[path.stem] = wandb.Image(str(path.with_suffix(".png")))
    return found


@dataclass(frozen=True)
class Arguments:
    """Write a report in wandb."""

    folder: Path
    """folder of a comparison with its report, such as out/shakespeare"""
    wandb: Literal["auto", "offline", "online"] = "auto"
    """online: save the report in the project, or update it; offline: write it to report/wandb-report.json;
    auto: online if there is a login"""


def main(arguments: Arguments) -> None:
    """Save the document in wandb or write it to a file, and print where it is."""
    comparison = load_comparison(arguments.folder)
    folder = comparison.folder
    results = read_json(folder / "report" / "results.json")
    if results is None:
        raise ValueError(
            f"{folder} has no report: run compare.py, or python -m eval.report --folder {folder}"
        )
    if wandb_mode(arguments.wandb) == "online":
        print(save_document(comparison, results))
        return
    model = make_document(comparison, results, "")._to_model()  # the only way to it without a server
    content = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    write_json(folder / "report" / "wandb-report.json", content)
    print(f"{folder / 'report' / 'wandb-report.json'}: not in wandb, because there is no login")


def save_document(comparison: Comparison, results: dict) -> str:
    """Save the document in the project, or update the saved one, and return its URL.

    Raises:
        Failed: wandb fails.
    """
    folder = comparison.folder
    known = folder / "wandb" / "report-id"
    try:
        bounded_wandb()
        import wandb

        api = wandb.Api()
        if not (entity := api.default_entity):
            raise ValueError("the login has no default entity")
        if PROJECT not in [project.name for project in api.projects(entity)]:
            api.create_project(PROJECT, entity)  # its sets of runs need one
        document = make_document(comparison, results, entity)
        document.id = known.read_text() if known.exists() else ""
        document.save()
    except Exception as error:
        raise Failed(_failure(error, folder)) from error
    known.parent.mkdir(exist_ok=True)
    write_file(known, document.id)
    return document.url


if __name__ == "__main__":
    run_command(main, Arguments, "Write the report of a comparison as a document in wandb.")
