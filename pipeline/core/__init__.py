"""What everything stands on: errors, files that are whole or not there, configuration, label codes, machine, processes.

Takes from: nothing of this project.
"""
