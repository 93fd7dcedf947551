"""Rules over local folders and data, without a request: what `check`, `verify`, a push and `adopt` have in common."""
