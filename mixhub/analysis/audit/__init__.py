"""Whether scores are consistent.

`tables.audit` checks a printed table, `records.audit_records` measured cells. Both run a tuple of rules, each a
function that yields findings, and return an `Audit` with its assumptions, its findings, and what could not be tested.
An audit reports what does not fit its assumptions; it never claims that a figure is false.
"""
