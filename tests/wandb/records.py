"""What a wandb server knows: runs, artifacts and reports, decoded."""

import base64
import json
from dataclasses import dataclass, field

MANIFEST = "wandb_manifest.json"  # of an artifact: wandb's own list of its files

HISTORY, EVENTS, SUMMARY, OUTPUT = (
    "wandb-history.jsonl",
    "wandb-events.jsonl",
    "wandb-summary.json",
    "output.log",
)

SUMMARIES = ["", "min", "max", "mean", "best", "last", "none", "copy", "first"]  # by their numbers


def make_id(kind: str, number: int) -> str:
    """An id as wandb's are."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


@dataclass
class Stored:
    """What has files."""

    storage_id: str
    stored: dict[str, bytes] = field(default_factory=dict, kw_only=True)

    @property
    def files(self) -> dict[str, bytes]:
        """The files, by name."""
        return {name: body for name, body in self.stored.items() if name != MANIFEST}


@dataclass
class Run(Stored):
    """A run.

    `lines` are its streamed files: for each, the lines by their offsets, so that a line which is sent
    again for the same offset replaces the first.
    """

    id: str
    project: str
    entity: str
    name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    wire_config: dict = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    state: str = (
        "running"  # or finished, or failed; wandb calls a running one crashed after minutes of silence
    )
    exit_code: int | None = None
    preempting: bool = False

    @property
    def config(self) -> dict:
        """The configuration, without what wandb adds to it."""
        return {key: entry["value"] for key, entry in self.wire_config.items() if key != "_wandb"}

    @property
    def wandb_config(self) -> dict:
        """What wandb adds to the configuration, by its short keys."""
        return self.wire_config.get("_wandb", {}).get("value", {})

    @property
    def metrics(self) -> dict[str, dict]:
        """What define_metric declared, by the metric's name."""
        coded = self.wandb_config.get("m", [])  # the fields of wandb's MetricRecord, by their numbers
        names = [metric.get("1") or metric.get("2") for metric in coded]
        return {
            name: {
                "step_metric": names[metric["5"] - 1] if "5" in metric else metric.get("4"),
                "summary": [SUMMARIES[number] for number in metric.get("7", [])],
                "hidden": 2 in metric.get("6", []),
            }
            for name, metric in zip(names, coded, strict=True)
        }

    @property
    def rows(self) -> list[dict]:
        """Every line of the history, in order: a step that was sent twice is there twice."""
        return self._parsed(HISTORY)

    @property
    def history(self) -> dict[int, dict]:
        """The history by step: of a step that was sent twice, the later row."""
        return {row["_step"]: row for row in self.rows}

    @property
    def events(self) -> list[dict]:
        """The system metrics."""
        return self._parsed(EVENTS)

    @property
    def summary(self) -> dict:
        """The summary, with what wandb adds to it."""
        return next(iter(self._parsed(SUMMARY)[-1:]), {})

    @property
    def output(self) -> str:
        """What the run printed."""
        return "".join(line for _, line in sorted(self.lines.get(OUTPUT, {}).items()))

    def _parsed(self, file: str) -> list[dict]:
        return [json.loads(line) for _, line in sorted(self.lines.get(file, {}).items())]

    def stream(self, update: dict) -> None:
        """Take one request of the file stream."""
        for file, chunk in update.get("files", {}).items():
            self.lines.setdefault(file, {}).update(enumerate(chunk["content"], chunk["offset"]))
        self.preempting |= update.get("preempting", False)
        self.exit_code = update.get("exitcode")
        self.state = "running" if self.exit_code is None else "failed" if self.exit_code else "finished"


@dataclass
class Artifact(Stored):
    """A version of an artifact. Before it is committed it has neither a version nor its aliases."""

    name: str
    type: str
    project: str
    digest: str
    client_id: str
    description: str
    metadata: dict
    asked_aliases: list[str]
    created_by: str | None  # the id of a run
    used_by: list[str] = field(default_factory=list)  # the ids of runs
    index: int | None = None
    aliases: list[str] = field(default_factory=list)

    @property
    def version(self) -> str | None:
        """As in its name: v0, v1, ..."""
        return None if self.index is None else f"v{self.index}"


@dataclass
class Report:
    """A report."""

    id: str
    project: str
    name: str = ""
    title: str = ""
    description: str = ""
    type: str = ""  # runs, or runs/draft for a draft
    spec: dict = field(default_factory=dict)  # its content
    saves: int = 0
