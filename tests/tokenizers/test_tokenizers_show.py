"""What `python -m tokenizers.show` prints, on a terminal and elsewhere."""

import itertools
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = "The king\n\tsaw 日本 😀 e\u0301.\r\n"
SHOW = ["-m", "tokenizers.show"]


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes when its output is a terminal."""
    leader, follower = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | environment
    process = subprocess.Popen(
        [sys.executable, *SHOW, *arguments], cwd=ROOT, stdout=follower, stdin=subprocess.DEVNULL, env=env
    )
    os.close(follower)
    written = b""
    while True:
        try:
            written += os.read(leader, 65536)
        except OSError:  # the other side is closed
            break
    os.close(leader)
    assert process.wait(timeout=60) == 0
    return written.decode().replace("\r\n", "\n")


def text_of(shown: str) -> bytes:
    """The bytes of the text whose pieces were shown."""
    shown = shown.replace("│", "").replace("⏎\n", "\n").replace("→", "\t")
    return re.sub("⟨([0-9A-F ]+)⟩".encode(), lambda m: bytes.fromhex(m[1].decode()), shown.encode())


@pytest.fixture
def trained(tiny_arrays: Callable[[str], Path]) -> str:
    """The folder of a trained tokenizer and its arrays."""
    return str(tiny_arrays("bpe-400"))


def test_pieces_are_told_apart_by_a_sign_where_there_is_no_terminal(run_python: Callable) -> None:
    done = run_python(*SHOW, "--spec", "byte", "ab c")
    assert done.returncode == 0 and "\033" not in done.stdout
    heading, pieces = done.stdout.splitlines()
    assert re.fullmatch(r"byte +vocabulary +257 +4 tokens +1\.00 chars a token", heading)
    assert pieces == "a│b│ │c"


def test_several_tokenizers_stand_below_one_another(run_python: Callable, trained: str) -> None:
    out = run_python(
        *SHOW, "--spec", "byte", "--spec", trained, "--spec", trained + "/tokenizer", "the"
    ).stdout
    lines = out.splitlines()
    headings = lines[0::3]
    assert [line.split()[0][-9:] for line in headings] == ["byte", "0/bpe-400", "tokenizer"]
    assert len({line.index("vocabulary") for line in headings}) == 1
    assert all(len(line) <= 80 for line in headings)
    assert lines[1] == "t│h│e"
    assert lines[4] == lines[7]


@pytest.mark.parametrize("spec", ["byte", "trained"])
def test_the_pieces_put_together_are_the_text(spec: str, run_python: Callable, trained: str) -> None:
    done = run_python(*SHOW, "--spec", trained if spec == "trained" else spec, TEXT)
    assert text_of(done.stdout.partition("\n")[2]) == TEXT.encode() + b"\n"


def test_parts_of_characters_and_control_characters_are_shown_as_bytes(run_python: Callable) -> None:
    done = run_python(*SHOW, "--spec", "byte", "é\t\n\x1b[31m\x00".replace("\x00", "\x7f"))
    assert done.stdout.partition("\n")[2] == "⟨C3⟩│⟨A9⟩│→│⏎\n│⟨1B⟩│[│3│1│m│⟨7F⟩\n"


def test_on_a_terminal_neighbours_have_different_colours(trained: str) -> None:
    out = on_a_terminal("--spec", "byte", "--spec", trained, TEXT)
    assert "│" not in out
    for line in out.splitlines():
        colours = re.findall(r"\033\[(38;5;16;48;5;\d+)m", line)
        assert all(one != other for one, other in itertools.pairwise(colours))
        assert "\033" not in line or line.endswith("\033[0m")  # no colour reaches the next line
    plain = re.sub(r"\033\[[0-9;]*m", "", out)
    assert "T" in plain and "→" in plain and "⏎" in plain


def test_no_color_is_respected() -> None:
    assert "\033" not in on_a_terminal("--spec", "byte", TEXT, NO_COLOR="1")


def test_escape_sequences_of_the_text_never_reach_the_terminal() -> None:
    assert "\033[2J" not in on_a_terminal("--spec", "byte", "a\033[2Jb")


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_standard_input_is_read_as_it_is(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, *SHOW, "--spec", "byte", *arguments]
    done = subprocess.run(command, cwd=ROOT, input=TEXT.encode(), capture_output=True)
    assert text_of(done.stdout.decode().partition("\n")[2].replace("\r", "")) == TEXT.encode() + b"\n"


def test_the_empty_text_has_no_tokens(run_python: Callable) -> None:
    assert " 0 tokens" in run_python(*SHOW, "--spec", "byte", "").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--spec", "bpe-2048", "x"], "'bpe-2048' is trained on a corpus: give its folder"),
        (["--spec", "char", "x"], "'char' is trained on a corpus"),
        (["--spec", "bpee-20", "x"], "did you mean 'bpe-20'?"),
        (["--spec", "/", "x"], "/ contains no tokenizer"),
        (["--spec", "tiktoken:gpt22", "x"], "did you mean 'tiktoken:gpt2'?"),
        ([], "for example: python -m tokenizers.show --spec byte"),
        (["x"], "required: --spec"),
        (["--spec"], "expected one argument"),
        (["--spec", "byte", "x", "y"], "unrecognized arguments: y"),
        (["--spc", "byte", "x"], "required: --spec"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], message: str, run_python: Callable) -> None:
    done = run_python(*SHOW, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("codebook: ") and message in line


def test_input_that_is_not_utf8_is_refused_with_the_place() -> None:
    command = [sys.executable, *SHOW, "--spec", "byte"]
    done = subprocess.run(command, cwd=ROOT, input=b"abc\xff", capture_output=True)
    assert done.returncode == 2
    assert done.stderr == b"codebook: standard input is not UTF-8: byte 0xff at 3\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m tokenizers.show --spec byte | head -c 10"
    done = subprocess.run(command, shell=True, cwd=ROOT, input=b"a" * 1_000_000, capture_output=True)
    assert done.stdout == b"byte      " and done.stderr == b""
