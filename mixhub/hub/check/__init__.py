"""`mixhub check`: whether a run may be published. `run` applies the rules of the other modules.

A rule is named after what it reports; its docstring says what it looks for.
"""
