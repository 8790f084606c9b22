"""`python -m node.cli` is `pagi`."""

import sys

from node.cli.main import main

sys.exit(main())
