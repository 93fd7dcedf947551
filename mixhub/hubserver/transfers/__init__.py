"""How files come and go: git-lfs, Xet, and plain downloads."""
