"""Repos, large files and chunks on disk."""
