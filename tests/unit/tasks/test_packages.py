"""Data of installed packages: the digits are scikit-learn's, and a territory's name has one language."""

import unicodedata

import numpy as np
import pytest

from frod.tasks import packages, registry
from frod.tasks.registry import Package


def test_digits_are_scikit_learns_pixels():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    digits = packages.digits()
    np.testing.assert_allclose(digits.inputs / 255 * 16, bunch.images, atol=0.04)  # rounding to 1/255 of 16
    np.testing.assert_array_equal(digits.labels, bunch.target)


@pytest.fixture(scope="module")
def names():
    return packages.read(registry.load()["territory_language"].source).splits["all"]


def test_every_name_is_its_languages_own(names):
    from babel import Locale

    languages = registry.load()["territory_language"].source.options["languages"]
    for text, label in zip(names.inputs, names.labels, strict=True):
        assert text in Locale.parse(languages[label]).territories.values()


def test_no_name_has_two_languages_even_without_accents(names):
    def bare(text):
        return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")

    assert len({bare(text) for text in names.inputs}) == len(names)
    assert "Deutschland" in names.inputs
    assert "Aruba" not in names.inputs  # the same in many languages


def test_all_names_are_in_latin_letters(names):
    letters = {c for text in names.inputs for c in text if c.isalpha()}
    assert all(unicodedata.name(c).startswith(("LATIN", "MODIFIER LETTER")) for c in letters)


def test_every_language_has_its_class(names):
    task = registry.load()["territory_language"]
    assert len(task.classes) == len(task.source.options["languages"])
    assert np.bincount(names.labels, minlength=task.num_classes).min() >= 90


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(ValueError, match="package no-such-thing, which is not installed"):
        packages.read(Package(package="no-such-thing", reader="digits"))


def test_an_unknown_option_is_named():
    with pytest.raises(ValueError, match="colour"):
        packages.read(Package(package="scikit-learn", reader="digits", options={"colour": 1}))
