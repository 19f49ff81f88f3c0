import os

from pipeline.core.waiting import wait_briefly

# Before anything here loads torch; the processes that this one starts inherit it
wait_briefly(os.environ)
