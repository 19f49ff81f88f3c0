"""The synthetic chest: a data set that anybody may have.

Takes from: pipeline/core, pipeline/scans.
"""
