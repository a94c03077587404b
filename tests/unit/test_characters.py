"""What no reader sees is found and shown; what languages and layout need stays, and files that hold it are refused."""

import pytest

from frod.characters import hidden, named, visible
from frod.config import safe_yaml

DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
HIDDEN = f"{DIRECTIONS}\u200b\u2060\ufeff\u00ad\u2028\u2029\x1b\x07\x9b"
SEEN = [
    "na\u00efve \u00b1 95\u00a0%",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a joiner's opposite within the word
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family, of three emoji
    "a\tb\nc",
]


@pytest.mark.parametrize("character", HIDDEN)
def test_what_no_reader_sees_is_shown_and_refused(character):
    text = f"FRoD{character} wins"
    assert hidden(text) == character
    assert visible(text) == f"FRoD{ascii(character)[1:-1]} wins" and hidden(visible(text)) is None
    for values in ({"title": text}, {"classes": ["a", text]}, {text: 1}):
        with pytest.raises(ValueError, match=rf"U\+{ord(character):04X}.*take it out") as refused:
            safe_yaml.checked(values, "own.yaml")
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("text", SEEN)
def test_what_languages_and_layout_need_stays(text):
    assert visible(text) == text
    assert safe_yaml.checked({"title": text}, "own.yaml") == {"title": text}


def test_a_line_of_a_terminal_has_no_layout():
    assert visible("a\nb\rc\td", but="") == r"a\nb\rc\td"


def test_a_character_is_named():
    assert named("\u202e") == "U+202E RIGHT-TO-LEFT OVERRIDE" and named("\x1b") == "U+001B control"
