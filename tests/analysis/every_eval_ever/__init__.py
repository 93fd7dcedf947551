"""Records of Every Eval Ever."""
