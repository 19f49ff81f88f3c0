"""What a network costs in parameters, operations, time and memory.

Takes from: pipeline/core, pipeline/inferers, pipeline/folders, evaluation/tables.
"""
