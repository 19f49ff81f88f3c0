"""How progress is told. PLACEHOLDER until the branch of logs is merged."""

from __future__ import annotations

import logging.config

from pipeline.core.configuration import LOGGING


def set_up(quiet: bool = False, verbose: bool = False, log_file: str | None = None, as_json: bool = False) -> None:
    """As the configuration of bundles/common says."""
    logging.config.fileConfig(LOGGING, disable_existing_loggers=False)
