"""Evaluation by lm-eval: its tasks, its prompts, its numbers; what requests share is run once; a file a cell."""
