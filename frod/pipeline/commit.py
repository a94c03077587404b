"""The guard in front of ``dvc commit``, which records whatever lies there under whatever params.yaml says.

``python -m frod.pipeline.commit`` asks Snakemake, with params.yaml and nothing else, whether anything is left to be
done; only if not, what is there is what the parameters and the code give, and DVC may record it.
"""

import os
import subprocess
import sys

TARGETS = ("data", "bases", "runs", "report")
UP_TO_DATE = "Nothing to be done"


def main() -> int:
    """Check, then ``dvc commit``; 0 if committed, 1 if refused."""
    asked = _run(["snakemake", "--dry-run", *TARGETS])
    if asked.returncode != 0 or UP_TO_DATE not in asked.stdout:
        print("\n".join(asked.stdout.splitlines()[-60:]), file=sys.stderr)
        print(
            "\nfrod: not committed. By params.yaml and the code as they are, there is work left (above): run "
            "`snakemake`, without settings on the command line, then commit again.",
            file=sys.stderr,
        )
        return 1
    # Not dry, and with nothing to do: writes the records that an interrupted run left unwritten.
    saved = _run(["snakemake", *TARGETS])
    if saved.returncode != 0 or UP_TO_DATE not in saved.stdout:
        print(saved.stdout, file=sys.stderr)
        print("\nfrod: not committed. The outputs changed while they were looked at; commit again.", file=sys.stderr)
        return 1
    return subprocess.run(["dvc", "commit", "--force"], check=False).returncode


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command as a stage of DVC runs it, so that it refuses what DVC cannot see."""
    stage = os.environ | {"DVC_STAGE": "commit"}
    return subprocess.run(command, env=stage, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
