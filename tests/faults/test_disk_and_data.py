"""A disk that is full or read-only, data that go away or change, a clock that goes back.

One clear line says what, where and what to do, and the last good checkpoint stays.
"""

import os
import re
import resource
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.extended

LONG = "--budget.steps=100000"
# A file system of one's own; root needs no other privilege for it, others do
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-euc"]


def the_line(output: str) -> str:
    (line,) = [line for line in output.splitlines() if line.startswith("codebook: ")]
    return line


def in_namespace(script: str, *arguments: object) -> str:
    done = subprocess.run([*NAMESPACE, script, "sh", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_full_disk_ends_the_run_and_when_there_is_room_it_goes_on(new_run, tmp_path):
    """A real one, of three megabytes."""
    run, disk = new_run("disk/run"), tmp_path / "disk"
    whole = new_run("whole").finish()
    disk.mkdir()
    script = """
        disk=$1; kept=$2; shift 2
        mount -t tmpfs -o size=3m tmpfs "$disk"
        "$@" --execution.max_seconds=0.001 || test $? = 75         # a checkpoint after the first step
        head -c 10m /dev/zero > "$disk/other" 2> /dev/null || true
        # No checkpoint is due, which would look for room first: it is the record that meets the full disk
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


def test_a_checkpoint_that_would_not_fit_is_not_begun(new_run, tmp_path):
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
    assert re.search(r"checkpoints has 0\.\d MB of free space, a checkpoint takes 0\.\d MB: make room", line)
    kept = re.search("^kept (.*)$", output, re.MULTILINE)[1].split()
    assert kept and all(name.startswith("step-") for name in kept), "the last good one stays, and no part"


def test_a_file_that_may_not_grow_is_named(new_run):
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


@pytest.fixture
def data(tiny_arrays, tmp_path):
    """Arrays of this test alone."""
    return shutil.copytree(tiny_arrays("bpe-300"), tmp_path / "data")


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ("deleted", "holds no token arrays"),
        ("replaced", "another tokenizer_fingerprint"),
        ("cut", "bytes, the manifest says"),
        ("written", ""),
    ],
)
def test_data_that_change_under_a_run_end_it(new_run, tiny_arrays, data, tmp_path, fault, again):
    """And the same command is refused as long as they are not put back, where that can be seen."""
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
    assert "changed or went away" in line or "became shorter" in line
    assert str(data) in line
    assert run.state()["step"] > 0, "the last good checkpoint stays"

    if again:
        code, output = run.start(LONG).end()
        assert code == 2
        assert again in the_line(output)


def test_a_clock_that_goes_back_changes_nothing(new_run):
    """Twenty-five years between a run and its continuation, in which it goes backwards."""
    whole = new_run("whole").finish()
    run = new_run().start("--execution.max_seconds=0.1", wrapper=("faketime", "2031-01-01 00:00:00"))
    assert run.end()[0] == 75
    wrapper = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", "@2006-01-01 00:00:00 x-1")
    assert run.finish(wrapper=wrapper).result() == whole.result()
