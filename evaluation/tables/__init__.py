"""Numbers as plain-text tables, beside those that papers printed.

Takes from: pipeline/core, evaluation/measures.
"""
