"""What everything stands on: errors, logs, files that are whole or not there, configuration, label codes, processes.

Takes from: nothing of this project.
"""
