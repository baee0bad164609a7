"""`python -m evenflow`: the command line."""

from .cli import main

raise SystemExit(main())
