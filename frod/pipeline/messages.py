"""What Snakemake prints, made short: a plan by rule instead of every job, commands without their JSON."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

# As :q quotes a JSON text for the shell.
JSON = re.compile(r"""'(?:\{\}|\{"(?:[^']|'"'"')*\})'""")


def shorten(dry: Callable[[], bool]) -> None:
    """Have the messages of this process shortened; `dry` says whether it is a dry run, once that is known."""
    from snakemake.logging import logger

    if not any(isinstance(one, _Short) for one in logger.filters):
        logger.addFilter(_Short(dry))


class _Short(logging.Filter):
    def __init__(self, dry: Callable[[], bool]) -> None:
        super().__init__()
        self._dry = dry

    def filter(self, record: logging.LogRecord) -> bool:
        from snakemake_interface_logger_plugins.common import LogEvent

        if getattr(record, "event", None) == LogEvent.JOB_INFO and self._dry():
            return False
        for name in ("msg", "shellcmd"):
            if isinstance(text := getattr(record, name, None), str):
                setattr(record, name, JSON.sub("'{...}'", text))
        return True
