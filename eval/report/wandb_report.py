"""The report in wandb: as a run, and as a document: `python -m eval.report.wandb_report --help`.

The run of job type `report` has the trade-off as a table, the figures as charts and images, and the page.
The document has the answer, the table and charts of the training runs, which stay interactive.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.cli import run_command
from common.errors import Failed
from common.files import read_json, write_file, write_json
from comparison import Comparison, load_comparison
from training.wandb_runs import wandb_mode

from ..results import first_runs, validations
from .figures import main_rows
from .wandb_artifacts import WandbLog, bounded_wandb
from .wandb_document import PROJECT, make_document


def log_report(comparison: Comparison, results: dict, mode: str) -> None:
    """Log a comparison and its report to wandb, but for what has been logged already.

    Nothing is raised: a line on stderr says what wandb failed with.
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
    except Exception as error:  # whatever it is, it is no reason to lose a report
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
                "report": wandb.Html(str(folder / "report.html"), inject=False),
                **_charts(log, main_rows(rows)),
                **{path.stem: wandb.Image(str(path)) for path in sorted(folder.glob("figures/*.png"))},
            }
        )
        run.summary.update({"best_tokenizer": rows[0]["tokenizer"], "best_test_bpc": rows[0]["test_bpc"]})


def _charts(log: WandbLog, rows: list[dict]) -> dict:
    """The charts of one model: of every tokenizer a point, and a line of its first seed's validations."""
    import wandb

    columns: list[str | int] = ["vocab_size", "test_bpc", "tokenizer"]  # wandb's type
    points = wandb.Table(columns, [[row[column] for column in columns] for row in rows])
    title = f"{rows[0]['model']}: bits per character of the"
    scatter = wandb.plot.scatter(points, "vocab_size", "test_bpc", f"{title} test text", split_table=True)
    found = {"bpc_against_vocabulary": scatter}
    first = first_runs(log.comparison, rows)
    names = [row["tokenizer"] for row in rows]
    lines = [validations(first[row["tokenizer"], row["model"]]) for row in rows]
    bpc = [[line["val_bpc"] for line in of_run] for of_run in lines]
    for axis, what in (("chars", "characters of text seen"), ("flops", "FLOPs of training")):
        xs = [[line[axis] for line in of_run] for of_run in lines]
        found[f"bpc_against_{axis}"] = wandb.plot.line_series(
            xs, bpc, names, f"{title} validation text", what, split_table=True
        )
    return found


@dataclass(frozen=True)
class Arguments:
    """Write a report in wandb."""

    folder: Path
    """folder of a comparison with its report, such as out/shakespeare"""
    wandb: Literal["auto", "offline", "online"] = "auto"
    """online: save it in the project, or update it there; offline: write what it would be to
    report/wandb-report.json; auto: online where there is a login"""


def main(arguments: Arguments) -> None:
    """Save the document, or write it to a file, and say where it is."""
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
    print(f"{folder / 'report' / 'wandb-report.json'}: not in wandb, for want of a login")


def save_document(comparison: Comparison, results: dict) -> str:
    """Save the document in the project, or update the one that was saved, and return its URL.

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
            api.create_project(PROJECT, entity)  # its sets of runs want one
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
