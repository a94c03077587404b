"""What a suite will cost, before it runs: hours, memory and disk, from shapes and from what bench/ measured.

Nothing is trained or fetched. `skeleton` counts, `measured` says how fast and how large a counted thing is, `estimate`
puts the two together for each job, `table` shows the sums.
"""
