import logging
import os

from pipeline.core.waiting import wait_briefly

# Before anything here loads torch; the processes that this one starts inherit it
wait_briefly(os.environ)
# Without handlers of a program's own nothing is printed, warnings neither
logging.getLogger(__name__).addHandler(logging.NullHandler())
