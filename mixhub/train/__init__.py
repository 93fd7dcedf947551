"""Model, loss, loop, checkpoints and export."""
