"""What scores say, whoever measured them.

    lm_eval_files  anybody's results, of any version of lm-eval, as one record per cell
    samples        what each document contributed to a cell, and a cache of it
    published/     scores that somebody printed: a card, a CSV file, a specification
    evidence       all that is known of one family or model: its records, and what was published of it
    scores         which cells make a score, and what keeps them apart
    selection      which cells and columns a table is made of
    tables         the score table; building makes it of evidence, results returns it as a pandas frame
    comparison     two families by their seeds and documents; survey ranks several mixtures
    statistics/    intervals, tests and variance components, each named by what varies
    audit/         whether printed or measured scores can be what they are said to be

Results become records, records become scores, and scores become tables, which are compared. Measured cells and
published scores never mix. Nothing here runs a model or talks to a hub.
"""
