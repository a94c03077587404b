"""MLflow's rows of a run are counted by what is logged of a history of so many steps; a command's memory is its own."""

import sys
from pathlib import Path

from bench.scale import mlflow_rows, timed


def test_each_point_of_a_curve_is_a_row_and_a_long_curve_is_thinned():
    steps = 40
    every_step, flushed, epochs = 5 * steps, 3 * steps // 10, 4
    assert mlflow_rows(steps) == every_step + flushed + epochs
    assert mlflow_rows(100 * steps) < 8 * 500 + epochs + 1


def test_memory_is_the_command_s_own(tmp_path: Path):
    ours = b"x" * 10**8
    small = timed("it", tmp_path, [sys.executable, "-c", "pass"], 1)["it_bytes"]
    large = timed("it", tmp_path, [sys.executable, "-c", f"b'x' * {len(ours)}"], 1)["it_bytes"]
    assert small < len(ours) < large
