"""About 110 MB of real text for measurements, from Debian packages: documentation in ten languages, and code.

    python -m benchmarks.debian_corpus --out out/debian

Needs Debian 12 after an `apt-get update`. The packages are downloaded and unpacked in a temporary folder,
never installed. Their current versions are taken, so an update of Debian may change the text a little.
"""

import gzip
import hashlib
import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from common.cli import run_command
from common.files import write_file
from data_prep.corpus import Corpus, CorpusConfig, make_corpus

TRANSLATED = "de es fr it ja pl ru uk zh".split()
DOMAINS = {"linux-doc-6.1": "kernel", "python3.11-doc": "python", "perl-doc": "perl"}
DOMAINS |= {"libpython3.11-stdlib": "code", "linux-libc-dev": "code"}  # Python, and C headers
DOMAINS |= dict.fromkeys(["manpages", "manpages-dev", *(f"manpages-{code}" for code in TRANSLATED)], "manual")
FILES = {
    "kernel": r"\.txt(\.gz)?$",
    "python": r"\.txt(\.gz)?$",
    "perl": r"(?<!perlcn|perljp|perlko|perltw)\.pod(\.gz)?$",  # these four are not in English
    "manual": r"^usr/share/man/.*\.gz$",
    "code": r"\.(py|h)$",
}
# The folder that says a file's language, of manual pages and of the kernel's documentation: man/de, but not
# man/man1; translations/zh_CN. Files in a folder of another language (zh_TW, ko_KR) are left out.
FOLDER = re.compile(r"/(?:man|translations)/([a-z]{2}(?:_[A-Z]{2})?)/")
LANGUAGES = {code: code for code in TRANSLATED} | {"it_IT": "it", "ja_JP": "ja", "zh_CN": "zh"}
MIN_CHARS = 100  # a shorter manual page only names another one


class Document(TypedDict):
    """A line of the corpus."""

    id: str
    text: str
    language: str | None
    domain: str


def download(folder: Path) -> dict[str, Path]:
    """Fetch all packages into `folder`: the name of each to its file.

    Raises:
        ValueError: apt-get could not; says why.
    """
    command = ["apt-get", "-o", f"Dir::Cache={folder}", "download", *DOMAINS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        error = re.search(r"^E: (.*)", done.stderr, re.MULTILINE)
        raise ValueError(f"apt-get download failed: {error[1] if error else done.stderr}")
    return {file.name.partition("_")[0]: file for file in folder.glob("*.deb")}


def documents(package: str, tree: Path) -> Iterator[Document]:
    """The texts of a package that is unpacked in `tree`, by path; the language of code is None."""
    domain = DOMAINS[package]
    files = {p.relative_to(tree).as_posix(): p for p in tree.rglob("*") if p.is_file() and not p.is_symlink()}
    for path, file in sorted(files.items()):
        folder = FOLDER.search(path)
        language = LANGUAGES.get(folder[1]) if folder else "en"
        if not language or not re.search(FILES[domain], path):
            continue
        language = None if domain == "code" else language
        content = file.read_bytes()
        try:
            text = (gzip.decompress(content) if path.endswith(".gz") else content).decode()
        except UnicodeDecodeError:
            continue
        if len(text) >= MIN_CHARS:
            yield {"id": f"{package}/{path}", "text": text, "language": language, "domain": domain}


@dataclass(frozen=True)
class Arguments:
    """The command's options."""

    out: Path
    """folder to write debian.jsonl into"""


def main(arguments: Arguments) -> None:
    """Write the corpus, each text once, and print how much there is of each language."""
    target = arguments.out / "debian.jsonl"
    if target.exists():
        print(f"{target} exists: nothing to do")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines: list[bytes] = []
    seen: set[bytes] = set()
    count, size = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        for package, file in sorted(download(Path(temporary)).items()):
            tree = Path(temporary, package)
            subprocess.run(["dpkg-deb", "-x", file, tree], check=True)
            for document in documents(package, tree):
                text = document["text"].encode()
                digest = hashlib.sha256(text).digest()
                if digest not in seen:
                    seen.add(digest)
                    lines.append(json.dumps(document, ensure_ascii=False).encode() + b"\n")
                    count[document["language"] or "code"] += 1
                    size[document["language"] or "code"] += len(text)
    write_file(target, b"".join(lines))
    for language, total in [*size.most_common(), ("all", size.total())]:
        texts = count[language] or count.total()
        print(f"{language:4}{texts:>7,} documents{total / 1e6:>8.1f} MB")


def debian_corpus(folder: Path, name: str = "corpus", held_out: float = 0.05) -> Corpus:
    """The text as a corpus in `folder/name`, made once; validation and test get a share `held_out` each."""
    main(Arguments(folder))
    source = f"jsonl:{folder / 'debian.jsonl'}"
    return make_corpus(CorpusConfig(source, val_fraction=held_out, test_fraction=held_out), folder / name)


if __name__ == "__main__":
    run_command(
        main, Arguments, "About 110 MB of real text in ten languages, and code, from Debian's packages."
    )
