"""Evaluation with lm-eval's tasks and numbers, all cells in one process.

task_index         the names that lm-eval knows
suite, datasets    the YAMLs of tasks, and their documents
options            the cells to measure, and how
requests           lm-eval's requests to a model, built once; encoding makes tokens of them, packing makes rows
scorer             runs the rows
harness            lm-eval computes metrics of the answers; measures and bootstrap add what it lacks or computes slowly
provenance         the inputs of a cell, and its file
sweep              the calls: evaluate, prefetch
calls              which tasks a call asks for, scores of groups, and a comparison with lm-eval's own backend
lm_eval_private    the only module that imports lm-eval
"""
