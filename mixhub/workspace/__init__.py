"""What lies on disk: paths, run folders, and the files in them as they are read back."""
