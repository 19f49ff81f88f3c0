"""What may be wrong with a data set: each file is read once to its end, each module looks for one kind of defect."""
