"""MLflow's rows of a run are counted by what is logged of a history of so many steps."""

from bench.scale import mlflow_rows


def test_each_point_of_a_curve_is_a_row_and_a_long_curve_is_thinned():
    steps = 40
    every_step, flushed, epochs = 5 * steps, 3 * steps // 10, 4
    assert mlflow_rows(steps) == every_step + flushed + epochs
    assert mlflow_rows(100 * steps) < 8 * 500 + epochs + 1
