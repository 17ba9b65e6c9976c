"""`python -m ratta` is the command `ratta`."""

from ratta.cli import main

raise SystemExit(main())
