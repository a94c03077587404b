"""Where PyYAML was built without libyaml, its own parser reads and refuses the same; a text always means the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from frod.config import safe_yaml

ROOT = Path(__file__).parents[2]
READ = [(ROOT / name).read_text() for name in ("params.yaml", "workflow/suites/smoke.yaml", "frod/tasks/registry.yaml")]
REFUSED = {
    "a: !env HOME": "file: line 1: tag !env is not taken",
    "a: 0\na: 1": "file: line 2: key 'a' stands twice",
    "[" * 100_000: "file: line 1: is nested more than 40 deep",
    "a: &a [*a]": "is nested more than 40 deep",
}
HIDDEN = """
import json, sys
sys.modules["yaml._yaml"] = None
import yaml
from frod.config import safe_yaml
assert not yaml.__with_libyaml__
read, refused = json.load(sys.stdin)
said = []
for text in refused:
    try:
        safe_yaml.from_yaml(text, "file")
    except ValueError as error:
        said.append(str(error))
json.dump([[safe_yaml.from_yaml(text, "file") for text in read], said], sys.stdout)
"""


def test_without_libyaml_files_mean_the_same_and_the_same_is_refused():
    assert yaml.__with_libyaml__, "the other parser is to compare with"
    given = json.dumps([READ, list(REFUSED)])
    done = subprocess.run([sys.executable, "-c", HIDDEN], input=given, capture_output=True, text=True, check=True)
    read, said = json.loads(done.stdout)
    assert read == [safe_yaml.from_yaml(text, "file") for text in READ]
    assert all(expected in message for expected, message in zip(REFUSED.values(), said, strict=True))


@pytest.mark.parametrize(
    ("text", "hint"),
    [("a:\n\tb: 1\n", "line 2: .* is it a tab?"), ("a: b: c\n", "line 1: .* indented")],
)
def test_what_is_likely_meant_is_said(text, hint):
    with pytest.raises(ValueError, match=hint):
        safe_yaml.from_yaml(text, "file")


def test_a_text_means_the_same_whatever_was_done_to_its_values():
    text = "a: {b: &one [1, 1.0, 1.0e-3, -0.0, true, null, '\u00e9']}\nc: *one\n"
    read = safe_yaml.from_yaml(text, "file")
    assert repr(read) == repr(yaml.safe_load(text))
    read["a"]["b"].clear()
    assert read["c"] == safe_yaml.from_yaml(text, "file")["a"]["b"] == [1, 1.0, 1e-3, -0.0, True, None, "\u00e9"]
