"""What DESIGN fixes about the whole: which folder may import which, and how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {"command_line", "publish", "revision"}
MAY_IMPORT = {
    "tokenizers": {"tokenizers"},
    "model": {"model"},
    "data_prep": {"data_prep", "tokenizers"} | SHARED,
    "training": {"training", "model", "data_prep.arrays"} | SHARED,
    "train_ddp.py": {"training", "model", "data_prep.arrays"} | SHARED,
    "eval": {"eval", "training", "model", "data_prep.arrays", "data_prep.corpus", "tokenizers"} | SHARED,
    "slurm": {"slurm", "comparison", "jobs", "runs", "data_prep", "eval", "tokenizers", "training"} | SHARED,
}
# As a command, model.generate speaks text.
EXCEPT = {"model/generate.py": {"tokenizers", "command_line"}}
OURS = {"tokenizers", "data_prep", "model", "training", "eval", "compare", "train_ddp"} | SHARED
OURS |= {"comparison", "expected", "jobs", "runs", "slurm"}


def imported(path: Path) -> set[str]:
    """Absolute modules of ours that a file imports; relative imports stay in their folder."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] in OURS}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_arrows_between_folders_run_one_way(part):
    files = [ROOT / part] if part.endswith(".py") else sorted((ROOT / part).glob("*.py"))
    assert files
    for file in files:
        allowed = MAY_IMPORT[part] | EXCEPT.get(str(file.relative_to(ROOT)), set())
        for name in imported(file):
            assert any(name == a or name.startswith(a + ".") for a in allowed), f"{file} imports {name}"


def test_the_trainer_never_imports_a_tokenizer_library():
    code = "import sys, train_ddp; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[0] for name in modules.split()}
    assert not loaded & {"tiktoken", "sentencepiece", "rustbpe", "tokenizers", "datasets", "pyarrow"}
    assert "torch" in loaded


def test_no_file_is_longer_than_one_sitting():
    files = [path for part in MAY_IMPORT for path in (ROOT / part).glob("*.py")] + list(ROOT.glob("*.py"))
    assert {str(path): n for path in files if (n := len(path.read_text().splitlines())) > 400} == {}
