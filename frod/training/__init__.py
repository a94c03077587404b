"""Training one run: seeds, order of examples, optimiser, loop, checkpoints, predictions."""
