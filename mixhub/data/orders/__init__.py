"""The order of samples: a pure function of (order_seed, sample index)."""
