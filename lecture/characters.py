"""Text as numbers: `python -m lecture.characters`."""

from common.cli import run_command

from .text import Characters, Walk


def main(walk: Walk) -> None:
    """Print the characters of the corpus, and a sentence as numbers and back."""
    text = walk.read()
    vocabulary = Characters(text)
    print(f"{len(text):,} characters, {len(vocabulary)} distinct ones:")
    print("".join(vocabulary.characters).replace("\n", "⏎"))

    sentence = "To be, or not to be"
    ids = vocabulary.encode(sentence)
    print(f"\nencode: {sentence}\n     -> {ids}")
    print(f"decode: {vocabulary.decode(ids)}")


if __name__ == "__main__":
    run_command(main, Walk, "Print the character vocabulary, and a sentence as numbers and back.")
