"""What decides how fast steps are, and not what they compute, beyond rounding."""
