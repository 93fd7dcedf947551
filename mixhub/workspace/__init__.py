"""The files of a workspace: their paths and their content."""
