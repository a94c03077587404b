"""The process that asks models does without what their libraries import where it is installed and no audit uses."""

import importlib.util
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
