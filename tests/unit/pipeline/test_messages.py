"""Snakemake's messages, made short: JSON in commands, jobs of a dry run; nothing else is touched."""

import json
import logging
import shlex

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from frod.pipeline.messages import _Short


def record(text, **extra):
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, text, (), None)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("value", [{}, {"name": "it's", "of": {"more": [1, None]}}, {"a": 'say "no"', "b": "x } y"}])
def test_a_json_argument_is_left_out_of_messages_and_commands(value):
    command = f"python -m frod task --spec {shlex.quote(json.dumps(value))} --out 'a folder/x' > log 2>&1"
    short = command.replace(shlex.quote(json.dumps(value)), "'{...}'")
    made = record(f"Command '{command}' failed", shellcmd=command)
    assert _Short(lambda: False).filter(made)
    assert (made.getMessage(), made.shellcmd) == (f"Command '{short}' failed", short)


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("event", [LogEvent.JOB_INFO, LogEvent.RUN_INFO, LogEvent.JOB_ERROR])
def test_only_the_jobs_of_a_dry_run_are_left_out(dry, event):
    assert _Short(lambda: dry).filter(record("text", event=event)) == (not (dry and event == LogEvent.JOB_INFO))


def test_other_messages_stay_as_they_are():
    made = record("Error in '{wildcards}': it's 'quoted' {not JSON}")
    _Short(lambda: False).filter(made)
    assert made.getMessage() == "Error in '{wildcards}': it's 'quoted' {not JSON}"
