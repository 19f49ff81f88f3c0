"""`python -m pneumobundle` is the command `pneumobundle`."""

from __future__ import annotations

from pneumobundle.command_line import main

if __name__ == "__main__":
    main()
