"""Published scores: in a family's specification, in a model card, or in a CSV file.

Published figures have their own types and never mix with measured cells, because it is unknown how many cells went into
them. `table` defines a published table; `grids` reads a file into cells of text, and `reading` finds the scores.
"""
