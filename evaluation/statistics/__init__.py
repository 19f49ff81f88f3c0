"""Over patients: intervals, paired comparisons, summaries, what the flags are worth.

Takes from: pipeline/core, pipeline/scans, evaluation/measures, evaluation/tables.
"""
