"""`mixhub verify`: whether a repo is what its family says. `repo` applies the tuples of rules; the others hold them.

A rule is named after what it reports, mostly by its code; its docstring says what must hold.
"""
