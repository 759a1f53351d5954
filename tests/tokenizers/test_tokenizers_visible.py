"""Bytes as something to read."""

import pytest

from tokenizers.visible import legible, visible_parts


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b" the", [(" the", "text")]),
        (b"\n\t", [("⏎→", "sign")]),
        (b"a\nb", [("a", "text"), ("⏎", "sign"), ("b", "text")]),
        ("é".encode(), [("é", "text")]),
        (b"\xe2\x80", [("⟨E2 80⟩", "bytes")]),
        (b" \xe2\x80", [(" ", "text"), ("⟨E2 80⟩", "bytes")]),  # a space, and the beginning of a character
        (b"\x99s", [("⟨99⟩", "bytes"), ("s", "text")]),
        (b"\x1b[2J\x00", [("⟨1B⟩", "bytes"), ("[2J", "text"), ("⟨00⟩", "bytes")]),
        ("\u00a0\u200d".encode(), [("⟨C2 A0 E2 80 8D⟩", "bytes")]),
        ("\u0301".encode(), [("◌\u0301", "text")]),  # an accent, which would stand on the token before it
        (b"", []),
    ],
)
def test_every_part_of_a_token_can_be_seen(content, parts):
    assert list(visible_parts(content)) == parts


def test_nothing_is_lost_whatever_the_bytes():
    for first in range(256):
        for second in (0x20, 0x41, 0x80, 0xBF, 0xE2, 0xFF):
            shown = list(visible_parts(bytes([first, second])))
            back = b"".join(
                bytes.fromhex(part.strip("⟨⟩")) if kind == "bytes"
                else part.replace("⏎", "\n").replace("→", "\t").replace("◌", "").encode()
                for part, kind in shown
            )  # fmt: skip
            assert back == bytes([first, second])


def test_text_from_a_model_shows_bytes_that_are_no_characters():
    assert legible("Zoë\n\tsaw".encode() + b"\xe2\x80 \x1b[2J\xff") == "Zoë\n\tsaw\\xE2\\x80 \\x1B[2J\\xFF"
    assert legible("日本\u00a0\u200d".encode()) == "日本\u00a0\u200d"
