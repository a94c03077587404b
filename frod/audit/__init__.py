"""From a report back to the raw data: whether what is shown follows from what is there. It reads and alters nothing.

`walk.audit` walks; each other module looks at one kind of thing and leaves what it finds in one `findings.Findings`.
"""
