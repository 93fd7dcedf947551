"""Training: the model, the loop, checkpoints and exports."""
