"""Where a result comes from: hashes of files and code, run records, the cache, and Snakemake's state under DVC."""
