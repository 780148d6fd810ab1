"""`python -m resilience` is the command `resilience`."""

import sys

from resilience.cli import main

sys.exit(main())
