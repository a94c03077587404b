"""The report of a suite: one page, its figures, tables for machines, and a summary for the terminal.

Everything shown is computed from the files of the suite's runs; nothing is read from the clock or the network, so the
same results give the same bytes.
"""
