"""The structure of the whole: who imports whom, how long a file is, one representation of a comparison."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Every line may import from lines below it.
LINES = [
    ["lecture"],
    ["compare.py"],
    ["slurm"],
    ["eval"],
    ["comparison"],
    ["train_ddp.py", "training"],
    ["model", "data_prep"],
    ["tokenizers"],
    ["common"],
]
PARTS = [part for line in LINES for part in line]
PACKAGES = [part for part in PARTS if not part.endswith(".py")]
FILES = [
    path
    for part in PARTS
    for path in ([ROOT / part] if part.endswith(".py") else sorted((ROOT / part).rglob("*.py")))
]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def name_of(path: Path) -> str:
    """A file as tests name it, such as eval/report/page.py."""
    return path.relative_to(ROOT).as_posix()


def file_of(module: str) -> Path | None:
    """The file of a module of ours."""
    path = ROOT.joinpath(*module.split("."))
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file in FILES]
    return found[0] if found else None


def imported(path: Path) -> set[Path]:
    """The files of ours that a file imports, anywhere in it, also for a type checker alone."""
    found = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                found.add(file_of(f"{module}.{alias.name}") or file_of(module))
    return found - {None}


def part_of(path: Path) -> str:
    """The folder at the root that a file is in, or the program at the root that it is."""
    return path.relative_to(ROOT).parts[0]


def test_imports_are_found_in_every_form():
    names = {name_of(path) for path in imported(ROOT / "eval/report/text.py")}
    assert {"comparison/__init__.py", "comparison/protocol.py"} <= names  # from comparison import ...
    assert {
        "eval/report/tables.py",
        "eval/report/markdown.py",
    } <= names  # from . and from .markdown
    assert "eval/recommend.py" in {name_of(p) for p in imported(ROOT / "eval/report/answer.py")}
    assert "eval/report/answer.py" not in {name_of(p) for p in imported(ROOT / "eval/report/tables.py")}


def test_arrows_between_folders_run_one_way():
    height = {part: number for number, line in enumerate(LINES) for part in line}
    for path in FILES:
        for other in imported(path):
            here, there = part_of(path), part_of(other)
            inside = here == there or (here, there) == ("train_ddp.py", "training")
            assert inside or height[there] > height[here], f"{name_of(path)} imports {name_of(other)}"


@pytest.mark.parametrize(
    ("part", "may_import"),
    [
        ("common", []),
        ("model", []),
        ("tokenizers", []),  # its commands alone may import common
        ("training", ["data_prep/arrays.py", "model/", "common/"]),
        ("train_ddp.py", ["data_prep/arrays.py", "model/", "common/", "training/"]),
    ],
)
def test_these_parts_know_only_what_they_need(part, may_import):
    for path in FILES:
        if part_of(path) == part:
            others = [name_of(other) for other in imported(path) if part_of(other) != part]
            assert all(other.startswith(tuple(may_import)) for other in others), f"{name_of(path)}: {others}"


def test_results_do_not_depend_on_how_they_are_shown():
    for path in (ROOT / "eval").glob("*.py"):
        assert not [other for other in imported(path) if other.parent.name == "report"], name_of(path)


def test_no_two_files_import_each_other_by_any_way_round():
    graph = {name_of(path): {name_of(other) for other in imported(path)} - {name_of(path)} for path in FILES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the files


def test_a_comparison_is_never_read_as_a_dict():
    for path in [*FILES, *BENCHMARKS]:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                where = f"{name_of(path)}:{node.lineno}"
                assert node.value.id not in ("comparison", "recipe"), where
            if isinstance(node, ast.arg) and node.arg in ("comparison", "recipe"):
                assert ast.unparse(node.annotation) in ("Comparison", "Recipe"), name_of(path)
            if isinstance(node, ast.Constant) and node.value == "comparison.yaml":
                assert name_of(path) in ("comparison/config.py", "slurm/freeze.py"), name_of(path)


def test_a_runs_configuration_is_read_in_one_place():
    for path in FILES:
        assert "yaml.safe_load" not in path.read_text() or name_of(path) == "common/cli.py", name_of(path)


def test_nothing_but_the_two_programs_lies_at_the_root():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    at_root = {name for name in listing.splitlines() if "/" not in name and (ROOT / name).exists()}
    project = {".gitignore", "LICENSE", "Makefile", "pyproject.toml", "setup.sh"}
    project |= {"requirements.txt", "requirements-dev.txt"}
    project |= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"}
    assert at_root == {"compare.py", "train_ddp.py"} | project
    folders = {name.split("/")[0] for name in listing.splitlines() if "/" in name}
    assert folders == {*PACKAGES, "configs", "benchmarks", "tests", "docs", ".ci"}


def test_no_file_is_longer_than_one_sitting():
    files = [*FILES, *BENCHMARKS, *(ROOT / "slurm").iterdir(), *(ROOT / "eval" / "report").iterdir()]
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in files if path.is_file()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_the_trainer_never_imports_a_tokenizer_library():
    code = "import sys, train_ddp; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[0] for name in modules.split()}
    assert not loaded & {"tiktoken", "sentencepiece", "rustbpe", "tokenizers", "datasets", "pyarrow"}
    assert "torch" in loaded
