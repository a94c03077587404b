"""Nested settings are shown one a line, under names that lead to them."""

from frod.reporting.flat import flat


def test_names_have_dots_and_what_is_empty_no_entry():
    settings = {"a": {"b": {"c": 1}, "d": {}}, "e": [1, 2], "f": [], "g": None, "h": [{"i": 1}, {"i": 2}]}
    assert flat(settings) == {"a.b.c": 1, "e": [1, 2], "f": [], "g": None, "h.0.i": 1, "h.1.i": 2}
