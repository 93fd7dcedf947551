"""Scores that somebody printed: in a family's specification, in a model card, or in a CSV file.

A printed figure is its own kind and never mixed with measured cells: nobody knows how many of those went into it.
`table` says what a printed table is; `grids` reads a file to cells of text, and `reading` finds the scores in them.
"""
