"""Evaluation by lm-eval, all cells in one process, with its numbers.

suite, datasets    the YAMLs of tasks, and their documents
options            which cells are asked for, and how they are measured
requests           what lm-eval asks of a model, built once; encoding makes tokens of it, packing rows
scorer             runs the rows
harness            has lm-eval make metrics of the answers; measures and bootstrap add what it lacks or takes long for
provenance         what a cell was made from, and its file
sweep              the calls: evaluate, evaluate_folder, prefetch
crosscheck         cells on disk against lm-eval's own backend
lm_eval_private    the only module that imports lm-eval
"""
