"""Small tokenizers of the kinds that published models have, and plug-ins."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import sentencepiece

from tokenizers import Tokenizer, train_tokenizer
from tokenizers.library import library
from tokenizers.patterns import PATTERNS

Change = Callable[[dict], None]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
WITHOUT_REGEX = {**BYTE_LEVEL, "use_regex": False}
SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
UNSPACES = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}


def split(regex: str, behavior: str = "Isolated", invert: bool = False) -> dict:
    """A Split by a regular expression."""
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def sequence(*steps: dict) -> dict:
    """A sequence of pre-tokenizers."""
    return {"type": "Sequence", "pretokenizers": list(steps)}


def add(content: dict, text: str, **flags: bool) -> None:
    """Add a token to a tokenizer.json."""
    ids = [*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]
    defaults = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    content["added_tokens"].append({"id": max(ids) + 1, "content": text, **defaults, **flags})


def remove(content: dict, letter: str) -> None:
    """Remove a letter, and all tokens that contain it, from the model of a tokenizer.json."""
    model = content["model"]
    model["vocab"] = {token: i for token, i in model["vocab"].items() if letter not in token}
    model["merges"] = [merge for merge in model["merges"] if letter not in "".join(merge)]


# Kinds of byte-level BPE by the change that makes each from GPT-2's.
BYTE_LEVEL_KINDS: dict[str, Change] = {
    "gpt2": lambda c: None,
    "bloom": lambda c: c.update(pre_tokenizer=sequence(split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), WITHOUT_REGEX)),
    "falcon": lambda c: c.update(
        pre_tokenizer=sequence(
            {"type": "Punctuation", "behavior": "Contiguous"},
            BYTE_LEVEL,
            {"type": "Digits", "individual_digits": False},
            split("[0-9][0-9][0-9]"),
        )
    ),
    "starcoder": lambda c: c.update(
        pre_tokenizer=sequence({"type": "Digits", "individual_digits": True}, BYTE_LEVEL)
    ),
    "deepseek": lambda c: c.update(
        pre_tokenizer=sequence(
            split(r"\p{N}{1,3}"),
            split("[一-龥\u3040-ゟ゠-ヿ]+"),
            split(r"[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s+"),
            WITHOUT_REGEX,
        )
    ),
    "words removed": lambda c: c.update(pre_tokenizer=sequence(split(r"\s+", "Removed"), WITHOUT_REGEX)),
    "one split, other pattern": lambda c: c.update(pre_tokenizer=sequence(split(r"\w+|\W+"), WITHOUT_REGEX)),
    "a pattern that matches nothing": lambda c: c.update(
        pre_tokenizer=sequence(split(r"\w*"), WITHOUT_REGEX)
    ),
    "no words": lambda c: c.update(pre_tokenizer=WITHOUT_REGEX),
    "prefix space": lambda c: c.update(pre_tokenizer={**BYTE_LEVEL, "add_prefix_space": True}),
    "NFC": lambda c: c.update(normalizer={"type": "NFC"}),
    "qwen3.5": lambda c: c.update(
        normalizer={"type": "NFC"}, pre_tokenizer=sequence(split(PATTERNS["qwen3.5"]), WITHOUT_REGEX)
    ),
    "NFKC": lambda c: c.update(normalizer={"type": "NFKC"}),
    "lower case": lambda c: c.update(normalizer={"type": "Lowercase"}),
    "unknown token that cannot occur": lambda c: c["model"].update(unk_token="a"),
    "without the bytes that UTF-8 never has": lambda c: [remove(c, chr(byte)) for byte in (0xC0, 0xC1, 0xF5)],
    "without a byte": lambda c: remove(c, "Ì"),
    "added words": lambda c: [add(c, "king"), add(c, "  ", normalized=True), add(c, "the", single_word=True)],
    "added with spaces": lambda c: [add(c, "my", lstrip=True), add(c, "lord", rstrip=True)],
    "special in text": lambda c: add(c, "<|endoftext|>", special=True),
}


def byte_level_file(kind: str, texts: list[str], folder: Path) -> Path:
    """A tokenizer.json of a kind of byte-level BPE, trained on the texts."""
    hf = library()
    tokenizer = hf.Tokenizer(hf.models.BPE())
    tokenizer.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = hf.decoders.ByteLevel()
    alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
    trainer = hf.trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(iter(texts), trainer)
    content = json.loads(tokenizer.to_str())
    BYTE_LEVEL_KINDS[kind](content)
    return written(content, folder)


def written(content: dict, folder: Path, name: str = "tokenizer.json") -> Path:
    """The file with this content."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder / name


def other_file(kind: str, texts: list[str], folder: Path) -> Path:
    """A tokenizer.json of a model that is not byte-level BPE, trained on the texts."""
    hf = library()
    trainers, models = hf.trainers, hf.models
    size = {"vocab_size": 500, "show_progress": False}
    if kind in ("llama2", "gemma"):
        tokenizer = hf.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(special_tokens=["<unk>", "<s>", "</s>", *bytes_], **size)
    elif kind == "metaspace":
        tokenizer = hf.Tokenizer(models.Unigram([]))
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(special_tokens=["<unk>", "</s>"], unk_token="<unk>", **size)
    elif kind == "wordpiece":
        tokenizer = hf.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = hf.normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = hf.decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], **size
        )
    else:
        assert kind == "wordlevel"
        tokenizer = hf.Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = hf.pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", "<eos>"], **size)
    spaced = [text.replace(" ", "▁") for text in texts] if kind in ("llama2", "gemma") else texts
    tokenizer.train_from_iterator((part for text in spaced for part in text.splitlines()), trainer)
    content = json.loads(tokenizer.to_str())
    if kind == "llama2":
        prepend = {"type": "Prepend", "prepend": "▁"}
        content["normalizer"] = {"type": "Sequence", "normalizers": [prepend, SPACES]}
    if kind == "gemma":
        content["normalizer"] = SPACES
    if kind in ("llama2", "gemma"):
        content["decoder"] = {
            "type": "Sequence",
            "decoders": [UNSPACES, {"type": "ByteFallback"}, {"type": "Fuse"}],
        }
        bytes_ = {f"<0x{byte:02X}>" for byte in range(256)}
        content["added_tokens"] = [
            token for token in content["added_tokens"] if token["content"] not in bytes_
        ]
    return written(content, folder)


OTHER_KINDS = {"llama2": True, "gemma": True, "metaspace": False, "wordpiece": False, "wordlevel": False}
"""each with whether it is lossless on text of known characters"""


PLUGINS = '''
import re

class Words:
    """Words of lower case by their length: white space and everything else is lost."""

    vocab_size = 9

    def encode(self, text):
        return [min(len(word), 8) for word in re.findall(r"\\w+", text)]

    def decode(self, ids):
        return " ".join("x" * i for i in ids)

    def offsets(self, text):
        return [match.span() for match in re.finditer(r"\\w+", text)]


class Unknown:
    """Bytes, but does not say so."""

    vocab_size = 256

    def encode(self, text):
        return list(text.encode())

    def decode(self, ids):
        return bytes(ids).decode()


class Lowering(Unknown):
    """Has the bytes of its tokens, which are not those of a text with capitals."""

    def encode(self, text):
        return list(text.lower().encode())

    def token_bytes(self):
        return [bytes([i]) for i in range(256)]


class Fewer(Unknown):
    def offsets(self, text):
        return [(0, 1), (0, 1)]


class NotPairs(Unknown):
    def offsets(self, text):
        return list(range(len(text)))


class Outside(Unknown):
    def offsets(self, text):
        return [(i, i + 2) for i in range(len(text))]


class Broken(Unknown):
    def offsets(self, text):
        return 1 / 0
'''


def plugin(name: str, folder: Path) -> Tokenizer:
    """One of the plug-ins above."""
    (folder / "mine.py").write_text(PLUGINS)
    return train_tokenizer(f"python:{folder / 'mine.py'}:{name}", ())


def sentencepiece_file(texts: list[str], folder: Path, **options: object) -> Path:
    """A model with SentencePiece's default normalization, nmt_nfkc, and other options."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, minloglevel=2, **options
    )
    (folder / "m.model").write_bytes(model.getvalue())
    return folder / "m.model"


def published(path: Path, folder: Path, change: Callable[[dict], None] = lambda content: None) -> Tokenizer:
    """The tokenizer of a changed copy of a tokenizer.json."""
    content = json.loads(path.read_text())
    change(content)
    return train_tokenizer(f"file:{written(content, folder, 'changed.json')}", ())


Make = Callable[[list[str], Path], Tokenizer]
CHANGING: dict[str, Make] = {
    "wordpiece": lambda t, f: published(other_file("wordpiece", t, f), f),
    "wordlevel": lambda t, f: published(other_file("wordlevel", t, f), f),
    "unigram": lambda t, f: published(other_file("metaspace", t, f), f),
    "unigram NFKC": lambda t, f: published(
        other_file("metaspace", t, f), f, lambda c: c.update(normalizer={"type": "NFKC"})
    ),
    "sentencepiece": lambda t, f: train_tokenizer(f"file:{sentencepiece_file(t, f, vocab_size=150)}", ()),
    "sentencepiece, byte fallback": lambda t, f: train_tokenizer(
        f"file:{sentencepiece_file(t, f, vocab_size=400, byte_fallback=True)}", ()
    ),
    **{
        f"byte-level {form}": lambda t, f, form=form: published(
            byte_level_file("gpt2", t, f), f, lambda c: c.update(normalizer={"type": form})
        )
        for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")
    },
    "prefix space": lambda t, f: published(
        byte_level_file("prefix space", t, f), f, lambda c: c.update(post_processor=BYTE_LEVEL)
    ),
    "plug-in": lambda t, f: plugin("Words", f),
}
"""tokenizers that change some texts"""
KEEPING: dict[str, Make] = {
    **{
        spec: lambda t, f, spec=spec: train_tokenizer(spec, t)
        for spec in ("byte", "char", "bpe-400", "unigram-400", "spbpe-400")
    },
    "gemma": lambda t, f: published(other_file("gemma", t, f), f),
    "llama2": lambda t, f: published(other_file("llama2", t, f), f),
    "falcon": lambda t, f: published(byte_level_file("falcon", t, f), f),
}
