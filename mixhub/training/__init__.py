"""From token shards to weights: the model, the loop, checkpoints and exports."""
