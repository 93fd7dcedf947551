"""Transfers of files: git-lfs, Xet, and plain downloads."""
