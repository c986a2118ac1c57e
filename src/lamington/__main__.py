"""`python -m lamington` is `lamington`."""

from lamington.cli.main import main

main()
