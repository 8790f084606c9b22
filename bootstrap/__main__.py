"""`python -m bootstrap` is `pagi-relay`."""

import sys

from bootstrap.cli import main

sys.exit(main())
