"""The command line as a module: `python -m hanse` is `hanse`."""

import sys

from hanse.scenarios.cli import main

if __name__ == "__main__":
    sys.exit(main())
