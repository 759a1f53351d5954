"""wandb runs of ours: where they go, under which id, and from which step on they are told something.

A run of ours is one run of wandb, however often it is interrupted: its id lies in `wandb/id` of its folder.
What a server has of it is asked for; what an offline segment has is read from it. Steps that are there are
not sent again, since wandb would count them on from the last one.
"""

import json
import netrc
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from wandb import Run

REACH = 9.0  # seconds in which a server has answered, or the run is an offline one

Mode = Literal["online", "offline", "disabled"]
MODES: tuple[Mode, ...] = get_args(Mode)


def wandb_mode(wanted: str) -> Mode:
    """online, offline or disabled: what is wanted, or for `auto` what WANDB_MODE says, or else whether
    there is a login."""
    mode = os.environ.get("WANDB_MODE", "auto") if wanted == "auto" else wanted
    if mode in MODES:
        return mode
    return "online" if _logged_in() else "offline"


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def start_wandb(wanted: str, folder: Path, **settings: Any) -> "tuple[Run, int]":
    """A wandb run, online or offline, that writes below `folder/wandb`, and the first step it lacks.

    `settings` are those of `wandb.init`. A server that does not answer makes the run an offline one.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # goes to the same server, which may be silent
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # by default in the home folder
        os.environ.setdefault(variable, str(folder / "wandb"))
    if not os.environ.get("WANDB_MODE", "set"):
        del os.environ["WANDB_MODE"]  # wandb does not take it empty
    import wandb

    def start(mode: Mode) -> "Run":
        quiet = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=REACH,
            x_transaction_log_flush_interval=1.0,  # what a killed process may lose, by default 15 s
        )
        return wandb.init(
            project="codebook",
            id=run_id(folder),
            resume="allow",
            dir=None if "WANDB_DIR" in os.environ else str(folder),
            mode=mode,
            settings=quiet,
            **settings,
        )

    segments = offline_segments(folder)
    if wandb_mode(wanted) == "online":
        try:
            run = start("online")
            for segment in segments:  # metrics.jsonl has it all; sent as well it would be later steps
                segment.with_name(segment.name + ".synced").touch()
            return run, run.starting_step
        except wandb.Error as error:
            problem = f"wandb is not reached ({' '.join(str(error).split())})"
            print(f"codebook: {problem}: this run is recorded offline", file=sys.stderr)
            wandb.teardown()  # the run that failed would hold its id
    first = 1 + max(map(last_step, segments), default=-1)
    return start("offline"), first


def run_id(folder: Path) -> str:
    """The id of the wandb run of a folder, drawn when it is first asked for."""
    path = folder / "wandb" / "id"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return path.read_text()


def offline_segments(folder: Path) -> list[Path]:
    """What was recorded offline of a folder's run, oldest first."""
    base = Path(os.environ.get("WANDB_DIR", folder))
    return sorted(base.glob(f"wandb/offline-run-*/run-{run_id(folder)}.wandb"))


def remove_unsent(folder: Path) -> None:
    """Remove what was recorded offline of a folder's run and never sent, also where that was nothing."""
    base = Path(os.environ.get("WANDB_DIR", folder))
    for recorded in base.glob(f"wandb/offline-run-*-{run_id(folder)}"):
        if not any(recorded.glob("*.synced")):
            shutil.rmtree(recorded)


def last_step(segment: Path) -> int:
    """The last step that an offline segment holds, also one that was cut short; -1 where it has none."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(segment)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        step = json.loads(done.stdout).get("step")
    except ValueError:
        step = None
    return -1 if step is None else step
