"""All that can be wrong with a data set, a module a kind of check; repair, and the page of all cases.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, evaluation/measures, evaluation/report.
"""
