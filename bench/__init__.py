"""Benchmarks: full fine-tuning, FRoD, LoRA, VeRA and peft's FRoD side by side, on shapes with random weights.

`python -m bench` (or `make bench`) takes all measurements of a device, each in a process of its own, and prints one
table; `python -m bench --table` prints it again from the files. A single measurement: `python -m bench.step --help`,
likewise `bench.memory`, `bench.basis`, `bench.category`, `bench.attach` and `bench.input`.

Needed are torch, transformers and peft, nothing of the workflow. Legend of shapes: T tokens, m out_features,
n in_features, k entries of S.
"""
