import logging

# Without handlers of a program's own nothing is printed, warnings neither
logging.getLogger(__name__).addHandler(logging.NullHandler())
