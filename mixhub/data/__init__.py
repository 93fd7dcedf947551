"""Data: the corpus, token shards, the order of samples, and batches."""
