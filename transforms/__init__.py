"""What happens to a scan as a dictionary of MONAI: preparing, augmenting, and writing what a network said.

Takes from: pipeline/core, pipeline/scans.
"""

import logging

# Without handlers of a program's own nothing is printed, warnings neither
logging.getLogger(__name__).addHandler(logging.NullHandler())
