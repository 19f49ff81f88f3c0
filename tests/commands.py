"""Commands of the program in the process of a test."""

from __future__ import annotations

import sys
from unittest.mock import patch

from pneumobundle.command_line import main


def run_command(*words: object) -> None:
    """Run `pneumobundle WORDS` here; hooks for errors and handlers of logs stay those of the test."""
    hook = sys.excepthook
    try:
        with patch("pneumobundle.run.process.logs.set_up"):
            main([str(word) for word in words])
    finally:
        sys.excepthook = hook
