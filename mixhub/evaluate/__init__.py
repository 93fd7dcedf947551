"""Evaluation by lm-eval itself: its tasks, its prompts, its numbers; one process and one file a cell."""
