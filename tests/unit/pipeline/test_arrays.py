"""What a job array would do wrong is said before the first job; test_slurm.py has the plugin's side of it."""

from types import SimpleNamespace

import pytest
from snakemake.exceptions import WorkflowError

from frod.config.settings import Resources
from frod.pipeline import arrays

LARGE = Resources(mem_mb=24000)


def workflow(due=8, at_once=100, array_jobs="trial,train"):
    """As much of Snakemake's as is looked at, before the first of its jobs."""
    return SimpleNamespace(
        executor_settings=SimpleNamespace(array_jobs=array_jobs),
        resource_settings=SimpleNamespace(nodes=at_once),
        dag=SimpleNamespace(needrun_jobs=lambda: iter(range(due))),
    )


def test_trainings_that_differ_in_resources_are_no_array():
    with pytest.raises(WorkflowError, match=r"--slurm-array-jobs: .* differ in resources"):
        arrays.check(workflow(), [Resources(), LARGE, Resources()])


def test_jobs_that_do_not_all_fit_are_no_array():
    with pytest.raises(WorkflowError, match=r"--jobs: 7, of 8: .* at least --jobs 8"):
        arrays.check(workflow(at_once=7), [LARGE, LARGE])


@pytest.mark.parametrize("settings", [SimpleNamespace(array_jobs=None), None], ids=["slurm", "local"])
def test_without_arrays_anything_goes(settings):
    one = workflow(at_once=1)
    one.executor_settings = settings
    arrays.check(one, [Resources(), LARGE])


def test_an_array_of_equals_that_all_fit_is_taken():
    arrays.check(workflow(at_once=8), [LARGE, Resources(mem_mb=24000)])
