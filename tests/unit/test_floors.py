"""The floors of the house: imports go downward only, and what must stay light stays light."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import frod

PACKAGE = Path(__file__).parents[2] / "frod"
FLOORS = [
    {"cli"},
    {"audit", "runs", "crate"},
    {"reporting"},
    {"training"},
    {"claims"},
    {"pipeline"},
    {"tasks", "backbones"},
    {"hub"},
    {"config"},
    {"evaluation"},
    {"peft", "pretrained"},
    {"provenance"},
    {"method"},
    {"numerics"},
    {"openblas", "files", "terminal"},
    {"characters"},
]
HEAVY = ("torch", "mlflow", "snakemake", "dvc", "transformers", "timm", "peft", "pandas")


def room(module):
    return module.split(".")[1] if module.count(".") else ""


def imported(path):
    """Modules of this package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "frod")


def test_imports_go_downward_only():
    level = {name: i for i, floor in enumerate(FLOORS) for name in floor}
    faults = []
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if here in ("__init__", "__main__"):
            continue
        for there in {room(name) for name in imported(path)} & set(level):
            if there != here and level[there] <= level[here]:
                faults.append(f"{path.relative_to(PACKAGE)} imports frod.{there}")
    assert not faults


def test_the_method_imports_nothing_of_the_rest():
    beyond = {name for path in (PACKAGE / "method").glob("*.py") for name in imported(path) if room(name) != "method"}
    assert not beyond


def test_no_module_imports_itself_through_others():
    """Also not late or for types alone: what imports each other is one thing in two files. Of frod/, not yet bench/."""
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = path
    del modules[PACKAGE.name]  # its names are resolved late
    uses = {
        module: [name if name in modules else name.rpartition(".")[0] for name in imported(path)]
        for module, path in modules.items()
    }
    try:
        graphlib.TopologicalSorter(uses).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_every_room_stands_on_a_floor():
    rooms = {
        p.name.removesuffix(".py") for p in PACKAGE.iterdir() if not p.name.startswith("_") and p.suffix != ".typed"
    }
    assert rooms == set().union(*FLOORS)


# Metrics are computed again, and a report is audited, where torch may not be installed and nothing should wait for it.
METRICS = """
import pandas, frod.evaluation.metrics as m, frod.evaluation.summary, frod.evaluation.statistics
of = {'label': [0, 1], 'prediction': [0, 1], 'scores': [[-1.0, -2.0], [-2.0, -1.0]], 'bytes': [[1, 1], [1, 1]]}
m.compute(pandas.DataFrame(of), list(m.METRICS))"""
CODE = """
from frod.provenance import code
[code.code_hash(name) for name in code._modules(code.PACKAGE_DIRECTORY) if name not in code.EXCLUDED]"""
BOX = """
from frod.config.rates import Box, Sampler
Box(lr=[1e-4, 1e-2]).points(8, Sampler())"""
LIGHT = {
    "import frod": HEAVY,
    "import frod.cli.main": (*HEAVY, "numpy", "threadpoolctl"),
    "import frod.config": HEAVY,
    "import frod.numerics": ("numpy", "torch", "threadpoolctl"),
    "import frod.claims": ("torch", "transformers", "scipy"),
    METRICS: ("torch",),
    BOX: ("scipy",),
    CODE: ("torch",),
}


@pytest.mark.parametrize(("statement", "heavy"), LIGHT.items(), ids=[code.strip().split("\n")[0] for code in LIGHT])
def test_an_import_is_light(statement, heavy):
    code = f"{statement}\nimport sys; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_answers_without_the_heavy_libraries():
    code = (
        "import sys, frod.cli.main; sys.argv = ['frod', '--help']\n"
        "try: frod.cli.main.main()\n"
        f"except SystemExit: print('heavy:', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "heavy: []" in out
    assert "train" in out


def test_the_version_and_the_public_names_are_what_is_shown():
    command = [sys.executable, "-m", "frod", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == f"frod {frod.__version__}\n"
    assert [name for name in dir(frod) if not name.startswith("__")] == frod.__all__


def test_the_command_line_can_be_imported_where_unix_modules_are_missing():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp', 'termios'))\n"
        "import frod.cli.main as line; line._app()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
