"""Tasks: benchmarks, read from their source and prepared as a backbone's arrays."""
