"""`mixhub verify`: whether a repo is what its family says. `repo` applies the tuples of rules; the others hold them."""
