"""Data that installed Python packages ship: nothing is downloaded."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from frod.tasks.examples import Examples, Source
from frod.tasks.registry import Package

DIGITS = "sklearn/datasets/data/digits.csv.gz"
DIGITS_WHITE = 16  # inked pixels are counted: 0 to 16


def read(source: Package) -> Source:
    """Read a package's data; ValueError where it is not installed, or an option of the registry is not known."""
    try:
        version = metadata.version(source.package)
    except metadata.PackageNotFoundError:
        raise ValueError(f"the task's data come with the package {source.package}, which is not installed") from None
    readers: dict[str, Callable[..., Examples]] = {"digits": digits, "territory_names": territory_names}
    try:
        examples = readers[source.reader](**source.options)
    except TypeError as error:
        raise ValueError(f"source.options {source.options} of {source.reader}: {error}") from None
    facts = {"what": f"package {source.package}, {source.reader}", "revision": version, "files": {}}
    return Source(splits={"all": examples}, facts=facts)


def digits() -> Examples:
    """Return scikit-learn's digits as uint8 images of shape (1797, 8, 8), ink white on black."""
    # As its load_digits reads them, whose import takes longer than all the rest here.
    table: Any = np.loadtxt(str(metadata.distribution("scikit-learn").locate_file(DIGITS)), delimiter=",")
    images, labels = table[:, :-1], table[:, -1]
    grey = np.rint(images.reshape(-1, 8, 8) * (255 / DIGITS_WHITE)).astype(np.uint8)
    return Examples(inputs=grey, labels=labels.astype(np.int64), ids=np.arange(len(labels), dtype=np.int64))


def territory_names(languages: list[str]) -> Examples:
    """Return the names of the world's territories in several languages; the class is the language's position.

    Languages are CLDR codes, of such as are written in Latin script. A name that two of them share has no answer and is
    left out, also where only case or accents differ, since many tokenizers drop both. A name that one language has for
    two territories stays once.
    """
    from babel import Locale

    owners: dict[str, set[str]] = {}
    names = []
    for language in languages:
        for code, name in sorted(Locale.parse(language).territories.items()):
            if is_territory(code):
                key = folded(name)
                if language not in owners.setdefault(key, set()):
                    owners[key].add(language)
                    names.append((key, name, languages.index(language)))
    kept = [(row, name, label) for row, (key, name, label) in enumerate(names) if len(owners[key]) == 1]
    rows, texts, labels = zip(*kept)
    return Examples(inputs=list(texts), labels=np.array(labels, np.int64), ids=np.array(rows, np.int64))


def is_territory(code: str) -> bool:
    """Whether a CLDR code is of a country or a part of one, not of a continent (digits) or a placeholder."""
    return len(code) == 2 and code.isalpha() and code not in {"ZZ", "XA", "XB", "QO", "EU", "EZ", "UN"}


def folded(text: str) -> str:
    """Return a text without case, accents and double spaces: what an uncased tokenizer sees of it."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())
