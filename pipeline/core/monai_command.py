"""`python -m monai.bundle` as a process of ours, which says what its parent was asked for from the first line on."""

from __future__ import annotations

import logging
import runpy

from pipeline.core.logs import as_the_parent_asks

if __name__ == "__main__":
    # MONAI logs before it reads a configuration
    as_the_parent_asks()
    # That there is no file of settings for logs, and that configurations come from several folders, is as it shall be
    unneeded = ("Logging file is set to False", "Not all config files are in")
    logging.getLogger("monai.bundle.workflows").addFilter(lambda record: not str(record.msg).startswith(unneeded))
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
