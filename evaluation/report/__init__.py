"""The pages: sections from tables, plots, pictures and the viewer.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, evaluation/measures, evaluation/tables,
evaluation/statistics, evaluation/costs.
"""
