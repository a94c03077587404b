"""From a report back to the raw data: whether what is shown follows from what is there. It reads and alters nothing.

`audit.audit` walks; each other module looks at one kind of thing and leaves what it finds in one `findings.Findings`.
"""
