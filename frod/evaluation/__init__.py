"""From predictions to figures: metrics of one run, one row per run, statistics over seeds. No torch."""
