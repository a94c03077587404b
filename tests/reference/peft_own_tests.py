"""Run peft's own tests of FRoD with the drop-in in place, from a checkout of its repository at the installed version.

    python tests/reference/peft_own_tests.py CHECKOUT [--plain] [arguments of pytest]

With --plain they run against peft alone, for comparison. They need parameterized and diffusers.
"""

import os
import sys
from pathlib import Path

import pytest

import frod.peft

CASES = {"test_frod.py": "", "test_custom_models.py": "FRoD", "test_initialization.py": "frod"}


def main(checkout: str, *arguments: str) -> int:
    """Run the tests of each file; return the worst of pytest's exit statuses."""
    os.chdir(Path(checkout))
    if "--plain" not in arguments:
        frod.peft.enable()
    rest = [word for word in arguments if word != "--plain"]
    ours = ["-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings=", "-q"]
    return max(pytest.main([*ours, f"tests/{name}", "-k", cases, *rest]) for name, cases in CASES.items())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
