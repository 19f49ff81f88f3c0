"""What the Makefile calls: its variables, which it exports as they were given, are the options of a command.

    make cv FOLDS=5 DATA=scans        is        pneumobundle cv --folds=5 --data=scans

They come by the environment, not by a command line: no shell reads them on the way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping

from pneumobundle.command_line import main
from pneumobundle.commands import TARGETS, Command
from pneumobundle.options import FLAG


def arguments(command: Command, given: Mapping[str, str]) -> Iterator[str]:
    """The options of a command that variables stand for; an empty one is not given, a flag is 0 or anything else."""
    for option in command.every_option:
        text = given.get(option.variable, "").strip()
        if not text:
            continue
        if option.kind != FLAG:
            yield f"--{option.name}={given[option.variable]}"
        elif (text != "0") != bool(option.default):
            yield f"--no-{option.name}" if option.default else f"--{option.name}"


if __name__ == "__main__":
    wanted = TARGETS[sys.argv[1]]
    main([wanted.name, *arguments(wanted, os.environ)])
