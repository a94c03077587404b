"""What is there is judged by content, whatever times, pulls and interruptions say.

Snakemake and DVC are played by hand here: a job writes its output and its record, a checkout writes files with other
content and new times. With the real tools: tests/workflow/test_dvc.py.
"""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from frod.pipeline import bookkeeping, metadata, outputs
from frod.pipeline.file_state import FILE, FileState, read_backup
from frod.pipeline.metadata import Metadata

DATA, BASIS, RUN = "data/models/vit", "data/bases/vit", "results/smoke/digits/seed-0/record.json"


class Place:
    """A working directory with three stages in a row: two directories, a file."""

    def __init__(self, root: Path) -> None:
        self.root, self.records = root, Metadata(root)
        self.clock = time.time() + 10  # of checkouts: those of tests follow faster upon each other than people's

    def job(
        self, path: str, text: str, *, inputs: tuple[str, ...] = (), params: str = "1", leave: bool = False
    ) -> None:
        """What Snakemake does: mark, write, record, unmark."""
        self.records.write(path, {}, 0)
        mark = Path(self.records._path("incomplete", path))
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        started = mark.stat().st_mtime
        self.put(path, text)
        if leave:
            return
        record = {"params": [params], "input": sorted(inputs), "record_format_version": 6, "rule": "r"}
        if (self.root / path).is_dir():
            metadata.set_modification_time(str(self.root / path), time.time())
        self.records.write(path, record, metadata.modification_time(str(self.root / path)))
        place = Path(self.records._path("metadata", path))
        place.write_text(json.dumps({**json.loads(place.read_text()), "starttime": started}))

    def put(self, path: str, text: str) -> None:
        """Write a file, or the files of a directory without suffix."""
        place = self.root / path
        for file in [place] if place.suffix else [place / "manifest.json", place / "deep" / "weights.bin"]:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def make_all(self, text: str = "a", params: str = "1") -> None:
        self.job(DATA, f"data {text}", params=params)
        self.job(BASIS, f"basis {text}", inputs=(DATA,), params=params)
        self.job(RUN, f"run {text}", inputs=(DATA, BASIS), params=params)

    def made(self, text: str = "a", params: str = "1") -> dict[str, bytes]:
        """All made and saved; what DVC keeps of it."""
        self.make_all(text, params)
        self.save()
        return self.snapshot()

    def stages(self) -> list[outputs.Stage]:
        return bookkeeping.stages(bookkeeping.suites_here(self.root, "smoke"))

    def save(self, **options) -> None:
        outputs.save(self.stages(), root=self.root, **options)

    def restore(self) -> bool:
        return outputs.restore(self.stages(), root=self.root)

    def params(self, path: str) -> str:
        """Parameters by Snakemake's record; "unknown" where it is told to make the output again."""
        record = self.records.read(path)
        if record is None:
            return "none"
        return "unknown" if metadata.is_unknown(record) else record["params"][0]

    def all_params(self) -> list[str]:
        return [self.params(path) for path in (DATA, BASIS, RUN)]

    def snapshot(self) -> dict[str, bytes]:
        """What DVC keeps."""
        folders = ("data", "results", "reports")
        files = [path for folder in folders for path in (self.root / folder).rglob("*") if path.is_file()]
        names = [path.relative_to(self.root).as_posix() for path in files]
        return {name: (self.root / name).read_bytes() for name in names if not name.endswith(metadata.TIMESTAMP)}

    def checkout(self, snapshot: dict[str, bytes], only: str = "") -> None:
        """What DVC does: other content, new times; equal files are left alone."""
        for name, content in snapshot.items():
            place = self.root / name
            if name.startswith(only) and not (place.exists() and place.read_bytes() == content):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.unlink(missing_ok=True)
                place.write_bytes(content)
                self.clock += 10
                os.utime(place, (self.clock, self.clock))

    def times(self) -> set[float]:
        return {metadata.modification_time(str(self.root / path)) for path in (DATA, BASIS, RUN)}


def test_published_reports_are_no_suite_s_outputs(tmp_path):
    for folder in ("reports/published/smoke", "reports/minilm", "results/other"):
        (tmp_path / folder).mkdir(parents=True)
    assert bookkeeping.suites_here(tmp_path, "smoke") == ["minilm", "other", "smoke"]


@pytest.fixture
def here(tmp_path):
    (tmp_path / "here").mkdir()
    return Place(tmp_path / "here")


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "empty").mkdir()
    return Place(tmp_path / "empty")


def test_own_work_is_left_alone(here):
    here.make_all()
    assert not here.restore()
    here.save()
    before = here.times()
    assert not here.restore() and here.times() == before
    assert here.params(RUN) == "1"


def test_a_pull_brings_records_and_one_time(here, empty):
    empty.checkout(here.made(params="7"))
    assert empty.restore()
    assert empty.all_params() == ["7", "7", "7"]
    assert len(empty.times()) == 1
    assert not empty.restore()
    before = empty.snapshot()
    empty.save()
    assert empty.snapshot() == before  # DVC sees no change


def test_equal_work_gives_equal_stashes(here, empty):
    assert here.made() == empty.made()


def test_a_checkout_of_another_state_and_back(here):
    one = here.made("a", params="1")
    two = here.made("b", params="2")
    for snapshot, params in ((one, "1"), (two, "2"), (one, "1")):
        here.checkout(snapshot)
        assert here.restore()
        assert here.all_params() == [params] * 3


def test_equal_content_by_other_parameters_takes_the_record_that_dvc_brings(here):
    one = here.made("a", params="1")
    here.made("a", params="2")
    here.checkout(one)  # only the backups differ
    assert here.restore() and here.params(RUN) == "1"


def test_data_of_another_state_make_what_came_of_it_stale_and_back(here):
    one = here.made("a")
    two = here.made("b")
    here.checkout(one, only="data/models")
    here.checkout(one, only="data/state/data.json")
    here.restore()
    assert here.all_params() == ["1", "unknown", "unknown"]
    here.save()
    assert read_backup(here.root / "data/state/runs-smoke.json").keys() == {RUN}  # true of its content all the same
    here.checkout(two)
    here.restore()
    assert here.all_params() == ["1", "1", "1"]


def test_outputs_without_their_stash_are_unknown_until_it_comes(here, empty):
    snapshot = here.made()
    empty.checkout(snapshot, only="results")
    empty.checkout(snapshot, only="data/bases")
    empty.restore()
    assert empty.params(RUN) == "unknown"
    assert empty.params(BASIS) == "unknown"  # a directory that nothing but its manifest shows to be an output
    assert not empty.restore()
    empty.save()
    assert read_backup(empty.root / "data/state/runs-smoke.json") == {}
    (empty.root / "data/state/runs-smoke.json").unlink(missing_ok=True)
    empty.checkout(snapshot)
    empty.restore()
    assert empty.all_params() == ["1", "1", "1"]


def test_a_stash_older_than_local_work_does_not_undo_it(here):
    here.made("a", params="1")
    here.job(RUN, "run b", inputs=(DATA, BASIS), params="2")  # killed before it could save
    assert not here.restore() and here.params(RUN) == "2"
    # DVC brings other data's backup with equal content meanwhile: the new run is judged by what it was made from.
    path = here.root / "data/state/data.json"
    path.write_text(path.read_text() + "\n")
    assert here.restore() and here.params(RUN) == "2"
    here.save()
    assert read_backup(here.root / "data/state/runs-smoke.json")[RUN].record["params"] == ["2"]


def test_local_work_on_data_that_dvc_has_replaced_is_stale(here):
    one = here.made("a")
    here.make_all("b")
    here.job(RUN, "run c", inputs=(DATA, BASIS))
    here.checkout(one, only="data")
    here.restore()
    assert here.params(RUN) == "unknown"


@pytest.mark.parametrize("path", [DATA, RUN, BASIS])
def test_an_output_changed_by_hand_is_noticed(here, path):
    here.made()
    here.put(path, "forged")
    past = time.time() - 1e6
    os.utime(here.root / path, (past, past))
    for inner in (here.root / path).rglob("*"):
        os.utime(inner, (past, past))
    assert here.restore() and here.params(path) == "unknown"
    here.save()
    assert path not in FileState.read(here.root).entries


def test_a_copy_of_the_folder_with_new_times_stays_valid(here):
    here.made()
    for path in here.root.rglob("*"):
        os.utime(path, (2e9, 2e9))
    assert here.restore() and here.params(RUN) == "1" and len(here.times()) == 1


def test_what_a_killed_job_left_is_neither_stashed_nor_blessed(here):
    here.made()
    here.job(RUN, "half", leave=True)
    here.restore()
    assert here.records.is_incomplete(RUN)
    here.save()
    assert RUN not in read_backup(here.root / "data/state/runs-smoke.json")


def test_a_whole_file_from_dvc_clears_the_mark_of_a_killed_job(here):
    snapshot = here.made()
    here.job(RUN, "half", leave=True)
    here.checkout(snapshot)
    assert not here.restore() and here.records.is_incomplete(RUN)  # by itself it is left to Snakemake, which reruns it
    shutil.rmtree(here.root / DATA)
    here.checkout(snapshot)
    here.restore()
    assert not here.records.is_incomplete(RUN) and here.params(RUN) == "1"


def test_nothing_is_touched_while_another_snakemake_works(here, capsys):
    here.made()
    (here.root / ".snakemake" / "locks").mkdir()
    lock = here.root / ".snakemake" / "locks" / "0.output.lock"
    lock.touch()
    here.put(RUN, "being written")
    before = here.snapshot()
    assert not here.restore() and "another Snakemake" in capsys.readouterr().err
    here.save()
    assert here.snapshot() == before and here.params(RUN) == "1"


def test_an_input_outside_the_stages_counts_by_content(here, empty):
    here.put("docs/note.txt", "x")
    here.make_all()
    here.job(RUN, "run", inputs=(DATA, "docs/note.txt"))
    here.save()
    empty.checkout(here.snapshot())
    empty.put("docs/note.txt", "x")
    empty.restore()
    assert empty.params(RUN) == "1"
    empty.put("docs/note.txt", "other")
    empty.put(DATA, "touched")  # anything, to make it look
    empty.restore()
    assert empty.params(RUN) == "unknown"


def ahead(place, path, text, *, seconds=1e7, **how):
    """A job that ran while the clock was ahead by so much."""
    place.job(path, text, **how)
    later = time.time() + seconds
    metadata.set_modification_time(str(place.root / path), later)
    for inner in (place.root / path).rglob("*"):
        os.utime(inner, (later, later))
    record = place.records.read(path)
    place.records.write(path, record, later)


def all_ahead(place):
    ahead(place, DATA, "data a")
    ahead(place, BASIS, "basis a", inputs=(DATA,))
    ahead(place, RUN, "run a", inputs=(DATA, BASIS))
    place.save()


def test_what_is_made_after_the_clock_was_set_back_is_not_made_again(here):
    """Its inputs then seem newer; they are known by content from the last look, which was before it was made."""
    all_ahead(here)
    here.job(RUN, "run b", inputs=(DATA, BASIS), params="2")
    here.save()
    assert here.restore() and len(here.times()) == 1
    assert here.all_params() == ["1", "1", "2"]
    assert not here.restore()


def test_what_came_of_an_input_that_was_made_anew_under_an_earlier_clock_is_stale(here):
    """By its time it is newer than the input, and would be kept for ever."""
    all_ahead(here)
    here.job(DATA, "data b")  # killed before anything came of it
    here.restore()
    assert here.all_params() == ["1", "unknown", "unknown"]


def test_two_suites_keep_in_step(here):
    here.make_all()
    other = "results/other/digits/seed-5/record.json"
    here.job(other, "other", inputs=(DATA, BASIS))
    here.save()
    snapshot = here.snapshot()
    assert "data/state/runs-other.json" in snapshot
    shutil.rmtree(here.root / DATA)
    here.checkout(snapshot)
    assert here.restore()
    moments = {metadata.modification_time(str(here.root / path)) for path in (DATA, BASIS, RUN, other)}
    assert len(moments) == 1 and here.params(other) == "1"


def test_files_beside_an_output_are_not_reported(here, empty, capsys):
    here.make_all()
    checkpoint = f"{RUN.rpartition('/')[0]}/checkpoint.pt"
    here.put(checkpoint, "w")
    here.save()
    empty.checkout(here.snapshot())
    empty.restore()
    assert "out of date" not in capsys.readouterr().err
    assert empty.params(RUN) == "1"
    assert not empty.restore()


def test_a_directory_is_as_its_manifest_says(here):
    """Who reads what else lies in it holds that against the manifest; here a large model is not read for it."""
    here.made()
    (here.root / DATA / "deep" / "weights.bin").write_text("w")
    assert not here.restore() and here.all_params() == ["1", "1", "1"]
    (here.root / DATA / "manifest.json").write_text("other")
    here.restore()
    assert here.all_params() == ["unknown"] * 3


def test_required_stages_exist_even_if_empty(here):
    bases = next(stage for stage in here.stages() if stage.name == "bases")
    here.save(required=[bases])
    assert (here.root / "data/bases").is_dir() and (here.root / bases.backup).exists()
    assert not (here.root / "data/models").exists() and not (here.root / "data/state/data.json").exists()


@pytest.mark.parametrize("content", ["{", "{}", None])
def test_a_lost_or_damaged_file_state_costs_only_time(here, content):
    here.made()
    if content is None:
        (here.root / FILE).unlink()
    else:
        (here.root / FILE).write_text(content)
    assert here.restore() and here.params(RUN) == "1"


@pytest.mark.parametrize("content", ["<<<<<<< HEAD", '{"layout": 99}', "[]"])
def test_a_damaged_stash_is_an_error_with_a_remedy(here, content):
    here.made()
    (here.root / "data/state/data.json").write_text(content)
    with pytest.raises(ValueError, match="dvc checkout"):
        here.restore()


def test_records_of_another_snakemake_are_not_trusted(here, empty):
    here.made()
    path = here.root / "data/state/data.json"
    path.write_text(path.read_text().replace('"record_format_version":6', '"record_format_version":5'))
    empty.checkout(here.snapshot())
    empty.restore()
    assert empty.params(DATA) == "unknown"
