"""`mixhub check`: whether a run may be published. `run` applies the tuples of rules; the other modules hold them.

A rule is named after what it reports, mostly by its code; its docstring says what must hold.
"""
