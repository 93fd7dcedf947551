"""Text to token shards, the order of samples, and batches."""
