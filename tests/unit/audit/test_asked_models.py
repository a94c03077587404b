"""The process that asks models does without what their libraries import where it is installed and no audit uses."""

import importlib.util
import subprocess
import sys
from unittest import mock

import pytest

from frod.audit import models


@pytest.mark.parametrize("name", ["bitsandbytes", "boto3"])
def test_what_is_left_out_counts_as_not_installed(name):
    """By `find_spec`, as the libraries ask, and by an import."""
    with mock.patch.dict(sys.modules):
        models.import_less()
        assert importlib.util.find_spec(name) is None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_its_process_is_not_taken_down():
    """Its end is not that of a program: what another would do last is left undone, and it has not failed."""
    code = (
        "import atexit; from frod.audit import models; atexit.register(print, 'taken down')\n"
        "models.only_answer(); print('answered', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "answered\n"
