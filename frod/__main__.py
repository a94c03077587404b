"""`python -m frod`: a command, which a warm process (frod/pipeline/warm) may run, or that process itself."""

import atexit
import errno
import os
import sys
import threading

from frod.pipeline.warm import client


def end(code: int) -> None:
    """End as Python does, but for taking all modules apart: with torch's that takes longer than many a job."""
    threading._shutdown()  # type: ignore[attr-defined]  # typeshed leaves private names out
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            code = code or 1
            if error.errno != errno.EPIPE:  # whoever closed the pipe has read enough
                print(f"error: standard output: {error.strerror}", file=sys.stderr)
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1:2] == [client.SERVE]:
        from frod.pipeline.warm.server import serve

        serve(*sys.argv[2:])  # returns in a child, which is to carry out a command
    else:
        client.hand_over()
    from frod.cli.main import main

    try:
        main()
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):  # a text, which Python prints
            raise
        code = ended.code or 0
    else:
        code = 0
    end(code)
