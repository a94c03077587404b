"""What the fuzz tests are fed with: valid documents with faults put in, values that are odd, and text that is no YAML.

CI takes the same examples each time. `FROD_FUZZ=20000 pytest tests/fuzz` draws so many new ones for each test.
"""

import copy
import datetime
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

DEEP = int(os.environ.get("FROD_FUZZ", "0"))


def examples(number):
    """Settings of a test with so many examples in CI."""
    return settings(
        max_examples=DEEP or number,
        derandomize=not DEEP,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


TEXTS = [
    "",
    " ",
    "frod",
    "digits",
    "null",
    "1e3",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a" * 300,
    "x\ny",
    "\t",
    "\x00",
    "\x1b[31m",
    "\ud800",
    "\u202e",
    "日本",
    "$(touch x)",
    "`touch x`",
    "'; touch x; '",
    "{wildcards.task}",
    "{{x}}",
    "%s",
    "__class__",
    "<script>alert(1)</script>",
    "postgresql://me:opensesame@host/db",
]
NUMBERS = [0, -1, 1, 2, 10**9 + 1, 2**31, 2**63, 10**40, 0.0, -0.5, 0.5, 1e-300, 1e300, float("nan"), float("inf")]
ODD = [None, True, False, datetime.date(2024, 1, 31), datetime.datetime(2024, 1, 31), b"bytes", {1}, (1, 2)]

odd = st.one_of(
    st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.sampled_from(ODD), st.text(max_size=8), st.integers()
)
odd_keys = st.one_of(st.sampled_from(TEXTS), st.text(max_size=8), st.sampled_from([1, None, True, 0.5]))
plain = st.one_of(
    st.sampled_from([text for text in TEXTS if text.isprintable() and "://" not in text]),
    st.sampled_from([0, 1, 2, 7, -1, 0.5, 1e-3, None, True, False]),
)


def _nested(single, keys):
    return st.recursive(
        single, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
    )


def _values(words):
    """Mostly what YAML may hold, under keys that are known: it gets past the first checks."""
    known = st.sampled_from(sorted(words) or ["x"])
    likely = _nested(plain | known, known)
    return st.one_of(likely, likely, likely, _nested(odd, odd_keys))


def _places(document, here=()):
    """Every place in a document down to some depth, as the keys and positions that lead there."""
    yield here
    if len(here) > 10:
        return
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in inner:
        yield from _places(value, (*here, name))


def _deepened(value, depth):
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def altered(draw, document, *, words=()):
    """A copy of a document with one to three faults in it; `words` are keys that might be meant somewhere."""
    document = copy.deepcopy(document)
    words = sorted({*words, *(name for place in _places(document) for name in place if isinstance(name, str))})
    values, keys = _values(words), st.one_of(st.sampled_from(words), st.sampled_from(words), odd_keys)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        *way, last = draw(st.sampled_from(places[1:])) if len(places) > 1 else (None,)
        if last is None:
            return document
        parent = document
        for name in way:
            parent = parent[name]
        what = draw(st.sampled_from(["value", "delete", "rename", "add", "swap", "deep", "repeat", "empty"]))
        if what == "value":
            parent[last] = draw(values)
        elif what == "delete":
            del parent[last]
        elif what in ("rename", "add") and isinstance(parent, dict):
            name = draw(keys)
            parent[name] = parent.pop(last) if what == "rename" else draw(values)
        elif what == "swap":
            other = document
            for name in draw(st.sampled_from(places)):
                try:
                    other = other[name]
                except (KeyError, IndexError, TypeError):  # an earlier fault took that place away
                    break
            parent[last] = copy.deepcopy(other)
        elif what == "deep":
            parent[last] = _deepened(parent[last], draw(st.sampled_from([1, 50, 200])))
        elif what == "repeat" and isinstance(parent, list):
            parent += [copy.deepcopy(parent[last])] * draw(st.sampled_from([1, 30]))
        elif what == "empty":
            parent[last] = draw(st.sampled_from([{}, [], "", None]))
    return document


PIECES = [
    "&a ", "*a", "<<: *a\n", "!!python/object/apply:os.system ['true']", "!x ", "- ", "? ", ": ", "{", "}", "[", "]",
    "|\n", ">-\n", "\t", "\n", "\n  ", "---\n", "...\n", "%YAML 9.9\n", "#", "'", '"', "@", "`", "~", "=", "<<",
    "2024-13-45", "0x_", "1_000", ".nan", "-.inf", "9" * 5000, "[" * 3000, "{a: " * 300, "\x00", "\x85", "\ufeff", "é",
    "seeds: [0]\n", "__use_yte__: true\n",
]  # fmt: skip


@st.composite
def torn(draw, text):
    """A text with pieces of YAML, or of nothing, put in and cut out at any place."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 5, 40])))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)))
        text = text[:start] + piece + text[end:]
    return text


def refusal(call):
    """Call; return (result, None), or (None, the message of the ValueError). Any other exception goes through."""
    try:
        return call(), None
    except ValueError as error:
        assert type(error) is ValueError, f"{type(error)}: a library's own error, not one that says what to do"
        return None, str(error)


def is_clear(message, sources):
    """Whether a message is of lines that each name the file first, are short, and printable."""
    lines = message.split("\n")
    return 0 < len(lines) < 30 and all(
        line.startswith(tuple(sources)) and line.isprintable() and len(line) < 4000 for line in lines
    )
