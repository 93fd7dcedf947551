"""Published scores: in a family's specification, in a model card, or in a CSV file.

Published figures have their own types and never mix with measured cells, because it is unknown how many cells went into
them.

    table          a published table
    grids          a file as cells of text; html_tables does the same for HTML
    reading        the table of scores among them; prints reads those that lm-eval printed
    titles         the task that a title means
    figures        the figure that a cell states
    eval_results   results in the Hub's own format, in a repo's files
"""
