"""A finished run, taken up again from its files: its inputs, its model, what training changed in it, its replay."""
