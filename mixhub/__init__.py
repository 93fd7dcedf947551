"""Train, evaluate, publish and load families of language models."""
