"""The comparison as one wandb run: the trade-off as a table, and the figures."""

from pathlib import Path

from training.tracking import start_wandb


def log_report(folder: Path, results: dict, mode: str) -> None:
    """Log `folder/report` as a run of job_type `report`, in the group of the comparison's runs."""
    run = start_wandb(mode, folder, job_type="report", group=folder.name, name=f"{folder.name} report")
    if run is None:
        return
    import wandb

    rows = results["rows"]
    columns = list(rows[0])
    table = wandb.Table(columns=columns, data=[[row[column] for column in columns] for row in rows])
    figures = sorted((folder / "report" / "figures").glob("*.png"))
    run.log({"trade-off": table, **{path.stem: wandb.Image(str(path)) for path in figures}})
    run.summary.update({"best_tokenizer": rows[0]["tokenizer"], "best_test_bpc": rows[0]["test_bpc"]})
    run.finish()
