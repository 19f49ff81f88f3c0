"""What reading and writing a bundle share: its files, their hashes, its code and how its configuration finds that.

Takes from: pipeline/core, pipeline/scans.
"""
