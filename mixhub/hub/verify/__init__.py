"""`mixhub verify`: whether a repo holds what its family says. `repo` applies the rules of the other modules.

A rule is named after what it reports; its docstring says what it looks for.
"""
