"""What training needs before it starts: memory, traffic and time by calculation, and a trial on the real machine."""
