"""`python -m vdb.cli` is `vdb`."""

import sys

from vdb.cli import main

if __name__ == "__main__":
    sys.exit(main())
