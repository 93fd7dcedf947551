"""What makes steps fast on this machine."""
