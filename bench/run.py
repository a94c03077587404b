"""Go through the measurements of a device, each in a process of its own, and print them as one table."""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from bench import records, table
from bench.settings import RESULTS, SUITES, TINY, Setting
from bench.text import say

ROOT = Path(__file__).parents[1]
EVERY = records.KINDS


def main(words: list[str] | None = None) -> int:
    """Parse, measure, print; return the exit status."""
    arguments = _parse(words)
    if arguments.table:
        print("\n".join(table.whole(arguments.out or RESULTS, arguments.device)))
        return 0
    device = arguments.device or "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"--device cuda: torch {torch.__version__} finds no CUDA device here.")
    with tempfile.TemporaryDirectory() as folder:
        # The tiny shape's times are of no use to anyone: not among the others, unless asked for.
        out = arguments.out or (Path(folder) if arguments.smoke else RESULTS)
        failed = [
            f"{name}: {kind}"
            for name, (setting, kinds) in _planned(arguments, device).items()
            for kind in kinds
            if not take(kind, setting, out, name)
        ]
        print("\n".join(table.whole(out, device)))
    for what in failed:
        say(f"failed: {what}; its errors are above.")
    return 1 if failed else 0


def _parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Benchmarks side by side; see bench/__init__.py.", allow_abbrev=False
    )
    parser.add_argument("--device", choices=SUITES, help="default: cpu; with --table all")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help=" | ".join(dict.fromkeys(n for s in SUITES.values() for n in s))
    )
    parser.add_argument("--kinds", nargs="+", choices=EVERY, default=EVERY)
    parser.add_argument("--methods", nargs="+", help="instead of each measurement's own")
    parser.add_argument("--rounds", type=int, help="instead of each measurement's own")
    parser.add_argument("--layers", type=int, help="blocks, instead of each measurement's own; 0: as the model has")
    parser.add_argument("--threads", type=int, help="of torch on the CPU")
    parser.add_argument("--smoke", action="store_true", help="a tiny shape only, to see that everything runs")
    parser.add_argument("--table", action="store_true", help="print the table of the results that are there")
    parser.add_argument("--out", type=Path, help="folder of the result files; default: bench/results")
    return parser.parse_args(words)


def _planned(arguments: argparse.Namespace, device: str) -> dict[str, tuple[Setting, tuple[str, ...]]]:
    """The measurements asked for; exits with the reason if there are none such."""
    suite = SUITES[device]
    if arguments.smoke:
        dtype = SUITES[device]["clip-64"][0].dtype
        suite = {"tiny": (replace(TINY, device=device, dtype=dtype), EVERY)}
    unknown = set(arguments.only or ()) - set(suite)
    if unknown:
        raise SystemExit(f"--only {' '.join(sorted(unknown))}: on {device} there are {', '.join(suite)}.")
    given = {name: getattr(arguments, name) for name in ("rounds", "layers", "threads", "methods")}
    given = {name: value for name, value in given.items() if value is not None}
    if "methods" in given:
        given["methods"] = tuple(given["methods"])
    result = {}
    for name, (setting, kinds) in suite.items():
        if arguments.only is None or name in arguments.only:
            wanted = tuple(kind for kind in kinds if kind in arguments.kinds)
            try:
                result[name] = (replace(setting, **given), wanted)
            except ValueError as error:
                raise SystemExit(f"{name}: {error}") from error
    return result


def take(kind: str, setting: Setting, out: Path, name: str) -> bool:
    """One measurement, in a process that ends with it; whether it succeeded."""
    say(f"== {name}: {kind}")
    command = [sys.executable, "-m", f"bench.{kind}", *setting.arguments(), "--out", str(out.absolute())]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 0
