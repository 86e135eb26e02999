"""`python -m bench.demo`."""

import sys

from bench.demo import main

sys.exit(main(sys.argv[1:]))
