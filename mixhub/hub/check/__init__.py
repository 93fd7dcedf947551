"""`mixhub check`: whether a run may be published. `run` applies the tuples of rules; the other modules hold them."""
