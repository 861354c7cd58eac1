"""Training: options, the optimiser step, checkpoints, and how good a model is meanwhile."""
