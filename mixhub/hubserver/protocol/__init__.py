"""The JSON API of a Hub: repos, refs, commits, trees."""
