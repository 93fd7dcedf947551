"""Whether scores can be what they are said to be.

`tables.audit` looks at a printed table, `records.audit_records` at measured cells. Both run a tuple of rules, functions
that look at a view and yield findings, and return an `Audit`: what was assumed, what was found, and what could not be
tested. An audit says that something does not fit its assumptions; it never says what is false.
"""
