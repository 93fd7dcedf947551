"""`mixhub.load`: which revision the arguments mean, its download, and its model."""
