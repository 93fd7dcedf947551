"""Measurements, each of one run: `python -m tests.benchmarks [NAME …]`. Not part of the test run."""
