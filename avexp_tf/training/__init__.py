"""Training: strategy, loop, checkpoints, experiment."""
