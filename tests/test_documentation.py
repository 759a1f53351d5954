"""Every command that README.md, CONTRIBUTING.md and docs/ show can be given as it stands there."""

import json
import re
import subprocess
import sys

import pytest

from .documents import (
    COMMAND,
    ON_A_CLUSTER,
    PAGES,
    ROOT,
    Checkout,
    blocks,
    commands,
    split_commands,
    words_of,
)

# What cannot be run here, and why. A command that is not on a page any more is to be removed here, too.
NOT_RUN = {
    r"git clone https://github.com/karpathy/nanoGPT .*": "fetches another project",
    r".venv/bin/python -m benchmarks\.(nanogpt|step|gpu_check) --nanogpt .*": "needs that project",
    r"watch .*": "never ends",
    r".venv/bin/wandb leet run .*": "is used by hand, in a terminal",
    r".venv/bin/python -m benchmarks\.(local_jobs|trainer|train_bpe|ladder)( .*)?": "measures for minutes",
    r".venv/bin/python -m benchmarks\.(encode|parts|evaluation|prep|batches)( .*)?": "measures for minutes",
    r".venv/bin/python -m benchmarks\.(published|families)( .*)?": "measures for minutes",
    r".venv/bin/python -m benchmarks\.(debian_corpus|gpu_study) .*": "unpacks Debian packages, or reads them",
    r".venv/bin/python -m training\.replay .*": "needs a run that failed, as in tests/faults",
    r".venv/bin/python -m benchmarks\.claims --same .*": "needs the eighteen runs of configs/same.yaml",
    r".venv/bin/python -m pytest tests/faults --crashes 100": "takes half an hour; tests/faults is short",
    r"TIKTOKEN_CACHE_DIR=.*": "downloads from OpenAI",
    r".* --config configs/corpora/.*": "downloads from the Hugging Face hub",
    r"curl .*": "downloads",
    r".venv/bin/python -m zipfile .*": "unpacks what curl downloads",
    r".venv/bin/mypy": "is a part of make test",
}
SMALLER = {  # options that make a measurement short
    "benchmarks.claims": "--repeats 1",
    "benchmarks.documents": "--rounds 1",
    "benchmarks.gpu_check": "--seconds 20",
}
QUICK = ["README.md"]

PARSE_ONLY = """
import functools, json, runpy, sys
import common.cli as cli

def nothing(function):
    return functools.wraps(function)(lambda *options: 0)

def run_command(main, config_type, about, *end, run=cli.run_command):
    run(nothing(main), config_type, about)

def run_commands(commands, about, run=cli.run_commands):
    run([nothing(command) for command in commands], about)

cli.run_command, cli.run_commands = run_command, run_commands
for line, words in json.load(sys.stdin):
    sys.argv = words
    try:
        runpy.run_module(words[0][:-3].replace("/", "."), run_name="__main__")
    except SystemExit as end:
        if end.code:
            print(line)
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the repository in which the demo, made small, has run; `mine` has one tokenizer."""
    checkout = Checkout(tmp_path_factory.mktemp("docs") / "codebook")
    checkout.run(".venv/bin/python compare.py run configs/shakespeare.yaml")
    mine = (checkout.folder / "configs" / "shakespeare.yaml").read_text()
    mine = mine.replace("name: shakespeare", "name: mine").replace("- bpe-2048\n", "")
    (checkout.folder / "configs" / "mine.yaml").write_text(mine)
    return checkout


def as_run_here(command: str) -> str:
    """The command as a test can run it: a measurement in its short form, `make` without a new set-up."""
    if command.startswith("make "):
        only_shown = "" if command == "make demo" else "--dry-run "  # the tests do not run all the tests
        return command.replace("make ", f"make --assume-old=.venv/.installed {only_shown}")
    if " -m pytest " in command:
        return f"{command} --collect-only"
    module = re.search(r"-m (benchmarks\.\w+)", command)
    return f"{command} {SMALLER.get(module[1], '')}" if module else command


def why_not(command: str) -> str | None:
    """The reason why a command is not run here, if there is one."""
    if ON_A_CLUSTER.match(command):
        return "tests/slurm/test_guide.py runs it"
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, command)), None)


PAGE_TESTS = [
    pytest.param(page, id=page.name, marks=[] if page.name in QUICK else [pytest.mark.extended])
    for page in PAGES
    if commands(page) and page.name != "build-the-gpt.md"  # tests/lecture/test_walk.py runs it
]


@pytest.mark.parametrize("page", PAGE_TESTS)
def test_every_command_of_a_page_can_be_given_in_turn(page, checkout, request):
    """The page is followed from its top: files that it shows are written, changes made, commands given."""
    if page.name == "extending.md":  # its changes are not those of other pages
        checkout = Checkout(request.getfixturevalue("tmp_path") / "codebook")
    for block in blocks(page):
        checkout.write(block)
        for command in split_commands(block):
            if not why_not(command):
                checkout.run(as_run_here(command))


def test_options_and_modules_in_the_documentation_exist():
    found = []
    for page in PAGES:
        for command in commands(page) if page.name != "extending.md" else []:  # which adds options first
            words = words_of(command.replace("configs/mine.yaml", "configs/shakespeare.yaml"))
            if words and re.search(r"^    run_commands?\(", (ROOT / words[0]).read_text(), re.M):
                found.append((f"{page.name}: {command}", words))
    assert len(found) >= 15
    command = [sys.executable, "-c", PARSE_ONLY]
    text = json.dumps(found)
    done = subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_every_command_stands_in_a_block_of_sh():
    every = [(page.name, block) for page in PAGES for block in blocks(page)]
    assert [each for each in every if each[1].language != "sh" and COMMAND.match(each[1].text)] == []


def test_every_exception_is_a_command_of_a_page():
    every = [command for page in PAGES for command in commands(page)]
    assert [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, each) for each in every)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{page.name} links to {target}#{anchor}"


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [page for page in PAGES if ROOT / "docs" in page.parents and page.name != "index.md"]
    names = [str(page.relative_to(ROOT / "docs")) for page in pages]
    assert [name for name in names if f"]({name})" not in index] == []
