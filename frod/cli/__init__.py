"""One thin file per command of `frod`; a rule of the workflow, its command and its file share a name."""
