"""Scores: read, averaged, compared and audited, from any source.

    lm_eval_files  results files of any version of lm-eval, as one record per cell; own_groups adds the scores of groups
                   that mixhub wrote, imported the results of others
    samples        the value of each document in a cell, and a cache of it
    published/     published scores: of a card, a CSV file, a specification
    evidence       the records and the published scores of one family or model
    scores         which cells make up a score, and which cannot be mixed
    selection      the cells and columns of a table
    tables         the score table; building makes it, results returns it as a pandas frame
    comparison     two families by their seeds and documents; survey ranks several mixtures
    statistics/    intervals, tests and variance components, each named by what varies
    audit/         whether published or measured scores are consistent

Results become records, records become scores, and scores become tables, which are compared. Measured cells and
published scores never mix. Nothing here runs a model or talks to a hub.
"""
