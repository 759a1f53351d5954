"""A full or read-only disk, data that are deleted or changed, and a clock that is set back.

One clear line says what happened, where, and what to do; the last good checkpoint is kept.
"""

import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.extended

LONG = "--budget.steps=100000"
# A private mount namespace; root needs no further privilege for it, other users do
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-euc"]


def the_line(output: str) -> str:
    (line,) = [line for line in output.splitlines() if line.startswith("codebook: ")]
    return line


def in_namespace(script: str, *arguments: object) -> str:
    done = subprocess.run([*NAMESPACE, script, "sh", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_full_disk_ends_the_run_which_resumes_once_there_is_space(new_run, tmp_path):
    """A real file system of three megabytes."""
    run, disk = new_run("disk/run"), tmp_path / "disk"
    whole = new_run("whole").finish()
    disk.mkdir()
    script = """
        disk=$1; kept=$2; shift 2
        mount -t tmpfs -o size=3m tmpfs "$disk"
        "$@" --execution.max_seconds=0.001 || test $? = 75         # a checkpoint after the first step
        head -c 10m /dev/zero > "$disk/other" 2> /dev/null || true
        # No checkpoint is due, which would first check the free space: writing the record fails
        code=0; "$@" --checkpoints.seconds=1000 || code=$?; echo "exit code $code"
        ls "$disk/run/checkpoints"
        rm "$disk/other"
        "$@"
        cp -r "$disk/run" "$kept"
    """
    output = in_namespace(script, disk, tmp_path / "kept", *run.command())
    assert "exit code 2" in output
    assert "step-00000001" in output.split("exit code 2")[1].split("\n")[1]
    errors = [line for line in output.splitlines() if line.startswith("codebook: ")]
    assert len(errors) == 2 and "stopped after step 1" in errors[0]
    assert str(disk / "run") in errors[1] and "No space left" in errors[1]
    assert "Traceback" not in output
    run.folder = tmp_path / "kept"
    assert run.result() == whole.result()


def test_a_checkpoint_that_does_not_fit_is_not_begun(new_run, tmp_path):
    run, disk = new_run("disk/run"), tmp_path / "disk"
    disk.mkdir()
    script = """
        disk=$1; shift
        mount -t tmpfs -o size=1m tmpfs "$disk"
        code=0; "$@" || code=$?; echo "exit code $code"
        echo kept $(ls -A "$disk/run/checkpoints")
    """
    output = in_namespace(script, disk, *run.command(LONG))
    assert "exit code 2" in output
    line = the_line(output)
    assert re.search(
        r"checkpoints has 0\.\d MB of free space, but a checkpoint needs 0\.\d MB: free some", line
    )
    kept = re.search("^kept (.*)$", output, re.MULTILINE)[1].split()
    assert kept and all(name.startswith("step-") for name in kept), (
        "the last good one is kept, and no partial one"
    )


def test_a_file_that_cannot_grow_is_named(new_run):
    run = new_run()
    limit = 100_000  # bytes: metrics fit, a checkpoint does not
    command = run.command(LONG)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2
    line = the_line(done.stderr)
    assert f"{run.folder}/checkpoints: the checkpoint of step" in line and "File too large" in line
    assert os.listdir(run.folder / "checkpoints") == []


def test_a_read_only_folder_is_named(new_run, tmp_path):
    run, disk = new_run("disk/run"), tmp_path / "disk"
    disk.mkdir()
    script = """
        disk=$1; shift
        mount -t tmpfs -o ro tmpfs "$disk"
        code=0; "$@" || code=$?; echo "exit code $code"
    """
    output = in_namespace(script, disk, *run.command())
    assert "exit code 2" in output
    assert f"Read-only file system: '{run.folder}'" in the_line(output)


def test_an_encoding_that_finds_the_disk_full_is_resumed(tiny_corpus, tiny_arrays, tmp_path):
    disk, whole = tmp_path / "disk", tiny_arrays("bpe-300")
    disk.mkdir()
    script = """
        disk=$1; kept=$2; shift 2
        mount -t tmpfs -o size=40k tmpfs "$disk"
        code=0; "$@" || code=$?; echo "exit code $code"
        mount -o remount,size=10m "$disk"
        "$@"
        mount -o remount,ro "$disk"
        code=0; "$@" --allow_lossy true || code=$?; echo "on a read-only disk $code"
        cp -r "$disk/arrays" "$kept"
    """
    paths = [f"--corpus={tiny_corpus.folder}", f"--out={disk / 'arrays'}"]
    paths += [f"--tokenizer={whole / 'tokenizer'}"]
    command = [sys.executable, "-m", "data_prep.encode", *paths, "--processes=1"]
    output = in_namespace(script, disk, tmp_path / "kept", *command)
    assert "exit code 2" in output and "on a read-only disk 0" in output  # there is nothing to do
    assert f"No space left on device: '{disk / 'arrays' / 'parts'}" in the_line(output)
    assert "Traceback" not in output
    for path in whole.glob("*.npy"):
        assert (tmp_path / "kept" / path.name).read_bytes() == path.read_bytes()


def test_a_corpus_that_finds_the_disk_full_is_resumed(tmp_path):
    disk, source = tmp_path / "disk", tmp_path / "in"
    disk.mkdir()
    source.mkdir()
    draw = random.Random(0)
    for number in range(4):  # units of their own, which do not compress
        rows = [{"text": draw.randbytes(40_000).hex()} for _ in range(820)]
        (source / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = """
        disk=$1; kept=$2; shift 2
        mount -t tmpfs -o size=80m tmpfs "$disk"
        code=0; "$@" || code=$?; echo "exit code $code"
        ls "$disk/corpus/parts"
        mount -o remount,size=600m "$disk"
        "$@"
        mount -o remount,ro "$disk"
        "$@" > /dev/null && echo "found on a read-only disk"
        cp -r "$disk/corpus" "$kept"
    """
    given = [f"--corpus.source=jsonl:{source}", "--processes=1"]
    command = [sys.executable, "-m", "data_prep.corpus", *given, "--out"]
    output = in_namespace(script, disk, tmp_path / "kept", *command, disk / "corpus")
    assert "exit code 2" in output and "found on a read-only disk" in output
    assert f"No space left on device: '{disk / 'corpus' / 'parts'}" in the_line(output)
    assert "Traceback" not in output and "00000" in output.split("exit code 2")[1]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    for path in (tmp_path / "whole").rglob("*.*"):
        kept = tmp_path / "kept" / path.relative_to(tmp_path / "whole")
        assert kept.read_bytes() == path.read_bytes()


def test_a_tokenizer_that_does_not_fit_leaves_the_old_one(tiny_corpus, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = """
        disk=$1; shift
        mount -t tmpfs -o size=1m tmpfs "$disk"
        "$@" --spec=bpe-300
        before=$(cat "$disk"/tok/* | sha256sum)
        head -c 10m /dev/zero > "$disk/other" 2> /dev/null || true
        code=0; "$@" --spec=bpe-310 --replace || code=$?; echo "exit code $code"
        test "$before" = "$(cat "$disk"/tok/* | sha256sum)"
        test "$(ls -A "$disk")" = "$(printf 'other\ntok')"
    """
    paths = [f"--corpus={tiny_corpus.folder}", f"--out={disk / 'tok'}"]
    output = in_namespace(script, disk, sys.executable, "-m", "data_prep.tokenizer", *paths)
    assert "exit code 2" in output
    assert f"No space left on device: '{disk / 'tok'}'" in the_line(output)


def test_arrays_of_a_newer_version_are_not_said_to_be_outdated(new_run, data):
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps({**manifest, "format": manifest["format"] + 1}))
    code, output = new_run("run", data).start().end()
    assert code == 2
    line = the_line(output)
    assert str(data) in line and "was written by a newer version of Codebook" in line
    assert "update Codebook, or make it again with python -m data_prep.encode" in line


@pytest.fixture
def data(tiny_arrays, tmp_path):
    """A copy of the arrays that a test may change."""
    return shutil.copytree(tiny_arrays("bpe-300"), tmp_path / "data")


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ("deleted", "holds no token arrays"),
        ("replaced", "a different tokenizer_fingerprint"),
        ("cut", "in the manifest"),
        ("written", ""),
    ],
)
def test_data_that_change_during_a_run_end_it(new_run, tiny_arrays, data, tmp_path, fault, again):
    """The same command is then refused until they are restored, if the change can be detected."""
    run = new_run("run", data).start(LONG).wait_for_step(100)
    tokens = data / "train-00000.tokens.npy"
    if fault == "deleted":
        shutil.rmtree(data)
    elif fault == "replaced":
        shutil.copytree(tiny_arrays("char"), tmp_path / "new")
        shutil.rmtree(data)
        (tmp_path / "new").rename(data)
    elif fault == "written":
        with open(tokens, "r+b") as file:
            file.seek(1000)
            file.write(b"\0" * 1000)
    else:
        os.truncate(tokens, tokens.stat().st_size // 2)
    code, output = run.end()
    assert code == 2
    line = the_line(output)
    assert "changed or deleted" in line or "was truncated" in line
    assert str(data) in line
    assert run.state()["step"] > 0, "the last good checkpoint is kept"

    if again:
        code, output = run.start(LONG).end()
        assert code == 2
        assert again in the_line(output)


def test_a_clock_that_is_set_back_changes_nothing(new_run):
    """By twenty-five years between a run and its resumption, during which it runs backwards."""
    whole = new_run("whole").finish()
    run = new_run().start("--execution.max_seconds=0.1", wrapper=("faketime", "2031-01-01 00:00:00"))
    assert run.end()[0] == 75
    wrapper = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", "@2006-01-01 00:00:00 x-1")
    assert run.finish(wrapper=wrapper).result() == whole.result()
