"""A folder that somebody gave or that we made: what scans it holds, what is left out, whether it may be written to.

Takes from: pipeline/core, pipeline/scans.
"""
