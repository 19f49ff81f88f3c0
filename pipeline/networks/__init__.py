"""The networks, one file each, flat since all are of one kind; `blocks.py` and its like are what several share.

Takes from: pipeline/core.
"""
