"""``python -m ttbr``."""

from ttbr.cli.main import main

main()
