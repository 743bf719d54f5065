"""`python -m translate.cli`: the command `translate`."""

import sys

from translate.cli.main import main

sys.exit(main())
