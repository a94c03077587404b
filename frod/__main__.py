"""`python -m frod`: a command, which a workflow's warm process may carry out (frod/warm), or that process itself."""

import sys

from frod.warm import client

if __name__ == "__main__":
    if sys.argv[1:2] == [client.SERVE]:
        from pathlib import Path

        from frod.warm.server import serve

        serve(int(sys.argv[2]), Path(sys.argv[3]))  # returns in a child, which is to carry out a command
    else:
        client.hand_over()
    from frod.command_line import main

    main()
