"""Cells as records of Every Eval Ever, the field's shared format of evaluation results (arXiv:2606.14516)."""
