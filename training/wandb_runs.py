"""Start and resume wandb runs: their mode, their id, and the first step to send.

Each run is one wandb run, however often it is interrupted; its id is in `wandb/id` of its folder. The steps
that wandb already has, on the server or in offline segments, are not sent again: wandb would append them as
later steps.
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

REACH = 9.0  # seconds until a server that does not respond makes the run an offline one

Mode = Literal["online", "offline", "disabled"]
MODES: tuple[Mode, ...] = get_args(Mode)


def wandb_mode(wanted: str) -> Mode:
    """Resolve `wanted` to online, offline or disabled.

    `auto` is the value of WANDB_MODE or, without one, online if there is a login and else offline.
    """
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
    """Start or resume the wandb run of a folder, online or offline; returns it and the first step it lacks.

    It writes below `folder/wandb`. `settings` are those of `wandb.init`. If the server does not respond, the
    run is recorded offline.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # uses the same server, which may not respond
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # in the home folder by default
        os.environ.setdefault(variable, str(folder / "wandb"))
    if not os.environ.get("WANDB_MODE", "set"):
        del os.environ["WANDB_MODE"]  # wandb rejects an empty value
    import wandb

    def start(mode: Mode) -> "Run":
        quiet = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=REACH,
            x_transaction_log_flush_interval=1.0,  # seconds that a killed process may lose; 15 by default
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
            # metrics.jsonl has their content. Sent as well, they would be appended as later steps
            for segment in segments:
                segment.with_name(segment.name + ".synced").touch()
            return run, run.starting_step
        except wandb.Error as error:
            problem = f"wandb cannot be reached ({' '.join(str(error).split())})"
            print(f"codebook: {problem}: this run is recorded offline", file=sys.stderr)
            wandb.teardown()  # otherwise the failed run keeps the id
    first = 1 + max(map(last_step, segments), default=-1)
    return start("offline"), first


def run_id(folder: Path) -> str:
    """The id of the wandb run of a folder, generated on first use."""
    path = folder / "wandb" / "id"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return path.read_text()


def offline_segments(folder: Path) -> list[Path]:
    """The offline segments of a folder's run, oldest first."""
    base = Path(os.environ.get("WANDB_DIR", folder))
    return sorted(base.glob(f"wandb/offline-run-*/run-{run_id(folder)}.wandb"))


def remove_unsent(folder: Path) -> None:
    """Delete the offline segments of a folder's run that were never sent, even empty ones."""
    base = Path(os.environ.get("WANDB_DIR", folder))
    for recorded in base.glob(f"wandb/offline-run-*-{run_id(folder)}"):
        if not any(recorded.glob("*.synced")):
            shutil.rmtree(recorded)


def last_step(segment: Path) -> int:
    """The last step in an offline segment, even in a truncated one; -1 if it has none."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(segment)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        step = json.loads(done.stdout).get("step")
    except ValueError:
        step = None
    return -1 if step is None else step
