"""`make node`: a place in a hospital's network that gets CT series and sends their segmentations back.

Takes from: pipeline/core, pipeline/scans, pipeline/folders, pipeline/inference, pipeline/prediction.
"""
