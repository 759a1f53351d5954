"""Every command that README.md and docs/ show can be given as it stands there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^ {4}\.venv/bin/(?:python|torchrun .*?) ((?:-m )?[\w./]+.*)$", re.M)

PARSE_ONLY = """
import json, runpy, sys
import common.cli as cli

def parse_only(main, config_type, about, end=None):
    cli.parse(config_type, sys.argv[1:])
    raise SystemExit(0)

def parse_command_only(commands, about):
    command, arguments = cli.pick_command(commands, sys.argv[1:], about)
    cli.parse_all(cli.types_of(command), arguments)
    raise SystemExit(0)

cli.run_command, cli.run_commands = parse_only, parse_command_only
for line, words in json.load(sys.stdin):
    sys.argv = words
    try:
        runpy.run_module(words[0][:-3].replace("/", "."), run_name="__main__")
    except SystemExit as end:
        assert not end.code, line
    except Exception as error:
        print(f"{line}: {error}")
"""


def commands() -> list[tuple[str, list[str]]]:
    """Each line in a block of its own, and its words from the script on; what is not ours is left out."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("configs/mine.yaml", "configs/shakespeare.yaml")
        for match in COMMAND.finditer(text):
            words = shlex.split(match[1], comments=True)
            if words[0] == "-m":
                words = [words[1].replace(".", "/") + ".py", *words[2:]]
            if "..." not in words and re.search(r"^    run_commands?\(", (ROOT / words[0]).read_text(), re.M):
                found.append((f"{page.name}: {match[0].strip()}", words))
    return found


def test_options_and_modules_in_the_documentation_exist():
    found = commands()
    assert len(found) >= 15
    command = [sys.executable, "-c", PARSE_ONLY]
    text = json.dumps(found)
    done = subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
