"""The table of all runs: it is what their records and metrics give."""

from __future__ import annotations

from frod.audit.findings import NOTHING, Findings
from frod.audit.study import Study

REMEDY = "run `snakemake`: rule summarise makes it"


def check(study: Study, findings: Findings) -> None:
    """Make the table again from the runs' files and compare it cell by cell."""
    import pyarrow.parquet as pq

    from frod.evaluation.summary import KEY, summarise

    path = study.summary
    if not path.is_file():
        findings.add(path, "the table of all runs", "there", NOTHING, remedy=REMEDY)
        return
    try:
        again = summarise([study.folder(key) for key in study.runs])
    except Exception as error:  # whatever a broken file makes go wrong: a finding, not the end
        findings.add(path, f"cannot be made from the runs' files: {error}", remedy=REMEDY)
        return
    with findings.guard(path, "its cells"):
        stored = pq.read_table(path)  # pandas would take a column for the rows' names where the file says so
        for name in sorted(set(stored.column_names) - set(again.columns)):
            findings.add(path, f"column {name}", NOTHING, "there", remedy=REMEDY)
        findings.equal(path, "columns", list(again.columns), stored.column_names, remedy=REMEDY)
        there = stored.to_pandas(ignore_metadata=True)
        rows = [
            {"/".join(map(str, row[:5])): row for row in table[list(KEY)].itertuples(index=False)}
            for table in (again, there)
        ]
        if findings.equal(path, "rows", list(rows[0]), list(rows[1]), remedy=REMEDY):
            for name in again.columns.intersection(there.columns):
                one, other = again[name], there[name]
                differing = ~((one == other) | (one.isna() & other.isna()))
                for row in differing[differing].index:
                    what = f"{name} of {list(rows[0])[row]}"
                    findings.add(path, what, one[row], other[row], remedy=REMEDY)
        findings.checked["cells of the summary"] += again.size
