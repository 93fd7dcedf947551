"""Validation losses by domain, from the logs of any trainer, as tables like those of scores."""
