"""Make a corpus of about 110 MB from Debian packages: documentation in ten languages, and code.

    python -m benchmarks.debian_corpus --out out/debian

Needs Debian 12 after an `apt-get update`. The packages are downloaded and unpacked in a temporary folder, not
installed. Their current versions are used, so an update of Debian may change the text slightly.

Documents of one group are not independent, and are all in one split. The group of a manual page is its name:
`manual/ls.1` is that page in all languages. The group of any other document is the first three components of
its path below the documentation or source: `kernel/admin-guide/sysrq.rst.txt` is a page, and
`kernel/devicetree/bindings/clock` is a folder of 112. Translations of the kernel's documentation are in the
groups of their originals. There are about 7,200 groups: a test split of 1 % has about 70.
"""

import gzip
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.cli import run_command
from common.files import write_file
from data_prep.corpus import Corpus, CorpusConfig, make_corpus

from .process import output_of

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
# The folder that names the language of manual pages and of the kernel's documentation: man/de, but not
# man/man1; translations/zh_CN. Files in a folder of another language (zh_TW, ko_KR) are left out.
FOLDER = re.compile(r"/(?:man|translations)/([a-z]{2}(?:_[A-Z]{2})?)/")
LANGUAGES = {code: code for code in TRANSLATED} | {"it_IT": "it", "ja_JP": "ja", "zh_CN": "zh"}
MIN_CHARS = 100  # a shorter manual page only refers to another one
# The root of a package's documentation or source, with the folder of a translation; the rest gives the group
ROOT = re.compile(
    r"^usr/(share/(doc|perl)/[^/]+|include|lib/python[^/]+)/(html/_sources/|Documentation/)?(translations/[^/]+/)?"
)


def group(domain: str, path: str) -> str:
    """The group of the document at `path` in a package."""
    path = path.removesuffix(".gz")
    if domain == "manual":
        return f"{domain}/{Path(path).name}"
    return "/".join([domain, *ROOT.sub("", path).split("/")[:3]])


def documents(package: str, tree: Path) -> Iterator[dict]:
    """The documents of a package unpacked in `tree`, sorted by path; the language of code is None."""
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
            yield {
                "id": f"{package}/{path}",
                "text": text,
                "language": language,
                "domain": domain,
                "group": group(domain, path),
            }


@dataclass(frozen=True)
class Arguments:
    """The command's options."""

    out: Path
    """folder to write debian.jsonl to, such as out/benchmarks"""


def main(arguments: Arguments) -> None:
    """Write the texts."""
    debian_texts(arguments.out)


def debian_texts(folder: Path) -> Path:
    """Write debian.jsonl to a folder, without duplicate texts, and print the size of each language."""
    target = folder / "debian.jsonl"
    if target.exists():
        print(f"{target} already exists: nothing to do")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    by_text: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as temporary:
        output_of(["apt-get", "-o", f"Dir::Cache={temporary}", "download", *DOMAINS], cwd=temporary)
        for package in sorted(DOMAINS):
            (file,), tree = Path(temporary).glob(f"{package}_*.deb"), Path(temporary, package)
            output_of(["dpkg-deb", "-x", str(file), str(tree)])
            for document in documents(package, tree):
                by_text.setdefault(document["text"], document)
    write_file(target, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in by_text.values()))
    size = Counter[str]()
    for text, document in by_text.items():
        size[document["language"] or "code"] += len(text.encode())
    for language, total in [*size.most_common(), ("all", size.total())]:
        print(f"{language:4}{total / 1e6:>8.1f} MB")
    return target


def debian_corpus(folder: Path, name: str = "corpus", held_out: float = 0.05) -> Corpus:
    """The text as a corpus in `folder/name`, made once; `held_out` is the share of validation and of test."""
    source = f"jsonl:{debian_texts(folder)}"
    return make_corpus(CorpusConfig(source, val_fraction=held_out, test_fraction=held_out), folder / name)


if __name__ == "__main__":
    run_command(main, Arguments, "Make a corpus of about 110 MB from Debian packages.")
