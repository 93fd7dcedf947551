"""Repos, branches and commits: plan, push, verify and load, through huggingface_hub."""
