"""Lungs and COVID-19 infection in chest CT.

In a wheel this package holds all of the project: `pneumobundle.pipeline`, `pneumobundle.transforms`,
`pneumobundle.evaluation` and the YAML files of `pneumobundle/bundles`, so that it needs no other name. In a checkout
these are the folders beside this one, and the names above stand for them: `pneumobundle.pipeline.scans.front` is then
the module `pipeline.scans.front`. Configurations have the long names, and so run in either.
"""

from __future__ import annotations

import logging
from pathlib import Path

# Without handlers of a program's own nothing is printed, warnings neither
logging.getLogger(__name__).addHandler(logging.NullHandler())
if not (Path(__file__).parent / "pipeline").is_dir():
    from pneumobundle.checkout import serve

    serve(__name__)
