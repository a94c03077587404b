"""All forgeries of a finished study that are tried: `python tests/workflow/forgeries.py` lists them."""

import alterations
import forgeries_data
import forgeries_suite
import forgeries_texts
import forgeries_trials

EVERYTHING = ("results", "data", "reports", "mlflow.db", "mlruns", "workflow", "params.yaml", ".git", ".dvc")
"""What one of them may touch."""
FORGED = alterations.ALTERED | forgeries_trials.ALTERED | forgeries_suite.ALTERED | forgeries_data.ALTERED
FORGED |= forgeries_texts.ALTERED
"""Found: how it is done, and how the audit's lines begin."""
NOTED = forgeries_suite.NOTED | forgeries_texts.NOTED
"""Told in a note."""
POSSIBLE = forgeries_trials.POSSIBLE | forgeries_suite.POSSIBLE | forgeries_data.POSSIBLE
"""Not found; docs/audit.md says what it takes and what finds it."""

if __name__ == "__main__":
    print("| forgery | what names it |\n|---|---|")
    for kind, tried in (("finding", FORGED), ("note", NOTED)):
        for name, (_, lines) in tried.items():
            print(f"| {name} | {kind}: {'; '.join(lines)} |")
    for name in POSSIBLE:
        print(f"| {name} | nothing: see docs/audit.md |")
    print(f"\n{len(FORGED)} found, {len(NOTED)} noted, {len(POSSIBLE)} possible")
