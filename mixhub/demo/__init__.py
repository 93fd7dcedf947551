"""What the demo trains on and is evaluated on: text of this Python, and tasks made from its held-out part."""
