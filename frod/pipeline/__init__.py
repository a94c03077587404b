"""The workflow as Snakemake and DVC see it: what is to be done, what is up to date, how the two are kept in step."""
