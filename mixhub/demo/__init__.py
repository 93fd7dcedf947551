"""What the demo trains and evaluates on: text of this Python, and tasks made from its held-out part."""
