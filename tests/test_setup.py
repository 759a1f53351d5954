"""setup.sh chooses a build of torch, says every step in a line, and names what a machine lacks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TORCH = re.search(r"^torch==(.*)$", (ROOT / "requirements.txt").read_text(), re.M)[1]
# In place of Python: notes what pip is asked for, and fails where the words hold $FAILS.
PYTHON = """#!/bin/sh
case "$*" in
*sys.version_info*) echo "$VERSION" ;;
*ensurepip*) [ -z "$NO_VENV" ] ;;
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*importlib.metadata*) [ "$INSTALLED" ] && echo "$INSTALLED" ;;
*"-m pip"*)
  echo "$*" >>asked
  case "$*" in *"${FAILS:-nothing fails}"*) echo "ERROR: No matching distribution" >&2; exit 1 ;; esac ;;
esac
"""


def executable(path: Path, script: str) -> None:
    """A script that can be run by the name of its file."""
    path.write_text(script)
    path.chmod(0o755)


@pytest.fixture
def setup(tmp_path):
    """A function that runs setup.sh in a folder of its own with the stand-in for Python."""
    for name in ("setup.sh", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    executable(tools / "python3", PYTHON)
    executable(tools / "uname", "#!/bin/sh\necho ${SYSTEM:-Linux}\n")
    executable(tools / "nvidia-smi", '#!/bin/sh\n[ "$GPU" ]\n')

    def run(requirements: str = "requirements.txt", python: str = "python3", **environment: str):
        variables = {"VERSION": "3.11", **environment, "PATH": f"{tools}:{os.environ['PATH']}"}
        command = ["./setup.sh", python, requirements]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)

    return run


def asked(folder: Path) -> list[str]:
    """The words of each call of pip, after the options that all have."""
    lines = (folder / "asked").read_text().splitlines()
    return [line.split("--disable-pip-version-check ")[1] for line in lines]


def test_without_a_gpu_torch_is_the_cpu_build_from_the_index_of_pytorch(setup, tmp_path):
    done = setup()
    assert done.returncode == 0, done.stderr
    torch, rest = asked(tmp_path)
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in torch
    assert torch.endswith(f"torch=={TORCH}+cpu")
    assert rest == "--requirement requirements.txt"
    creating, cpu, others, end = done.stdout.splitlines()
    assert creating == "setup: creating .venv with Python 3.11"
    assert re.search(r"torch .* for the CPU, as there is no NVIDIA GPU \(about \d+ MB\)$", cpu)
    assert re.search(r"other packages of requirements.txt \(about \d+ MB\)$", others)
    assert re.fullmatch(r"setup: done in \d+ s", end)


def test_with_a_gpu_it_is_the_cuda_build(setup, tmp_path):
    done = setup(GPU="1")
    assert asked(tmp_path)[0] == f"--constraint requirements.txt torch=={TORCH}"
    assert "for an NVIDIA GPU (about 2,700 MB)" in done.stdout


def test_elsewhere_than_on_linux_it_is_the_plain_one(setup, tmp_path):
    setup(SYSTEM="Darwin")
    assert asked(tmp_path)[0] == f"--constraint requirements.txt torch=={TORCH}"


def test_a_cpu_build_that_cannot_be_had_is_said_with_the_size_of_the_other(setup, tmp_path):
    done = setup(FAILS="+cpu")
    assert done.returncode == 0, done.stderr
    assert [words.split()[-1] for words in asked(tmp_path)[:2]] == [f"torch=={TORCH}+cpu", f"torch=={TORCH}"]
    said = done.stdout.splitlines()
    assert "no CPU build" in said[2] and said[2].endswith("ERROR: No matching distribution")
    assert said[3] == f"setup: installing torch {TORCH} with CUDA instead (about 2,700 MB)"


@pytest.mark.parametrize("build", ["", "+cpu"])
def test_a_torch_of_that_version_is_kept_whatever_its_build(setup, tmp_path, build):
    setup()
    (tmp_path / "asked").unlink()
    done = setup("requirements-dev.txt", INSTALLED=TORCH + build)
    assert asked(tmp_path) == ["--requirement requirements-dev.txt"]
    assert "creating" not in done.stdout


def test_a_failed_installation_fails(setup):
    assert setup(FAILS="--requirement").returncode == 1


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_a_python_that_is_too_old_or_too_new_is_one_line(setup, tmp_path, version):
    done = setup(VERSION=version)
    assert (done.returncode, done.stdout) == (2, "")
    says = "Codebook works with Python 3.11, 3.12 and 3.13. Name one: make PYTHON=python3.12 ..."
    assert done.stderr == f"setup: python3 is Python {version}. {says}\n"
    assert not (tmp_path / ".venv").exists()


def test_no_python_is_one_line(setup):
    done = setup(python="python3.99")
    assert done.returncode == 2
    assert re.fullmatch("setup: python3.99 cannot be run. .*\n", done.stderr)


def test_debian_without_python3_venv_is_one_line(setup):
    done = setup(NO_VENV="1")
    assert done.returncode == 2
    assert re.fullmatch("setup: python3 has no ensurepip.* apt-get install python3-venv\n", done.stderr)


def test_what_the_project_names_is_pinned_and_nothing_twice():
    names = re.compile(r"^([\w.-]+)==", re.M)
    run = names.findall((ROOT / "requirements.txt").read_text().lower().replace("_", "-"))
    dev = names.findall((ROOT / "requirements-dev.txt").read_text().lower().replace("_", "-"))
    assert len({*run, *dev}) == len(run) + len(dev)
    project = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[
        1
    ]
    needed = {re.match(r"[\w-]+", name.lower())[0] for name in re.findall(r'^ +"(.*?)"', project, re.M)}
    assert len(needed) > 15 and needed <= {*run}


def test_make_test_all_names_the_debian_packages_that_are_missing(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/packages", tmp_path / ".ci")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "npm", "slurmd"):
        target = shutil.which(name) or "/bin/true"
        (tmp_path / "bin" / name).symlink_to(target)
    done = subprocess.run(
        [".ci/packages"], cwd=tmp_path, env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    packages = line.split("apt-get install --no-install-recommends ")[1].split()
    assert {"faketime", "chromium", "g++", "slurmctld", "munge", "texlive-latex-base"} <= {*packages}
    assert not {"npm", "slurmd"} & {*packages}
