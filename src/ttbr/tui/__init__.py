"""An image in the terminal, to walk through; needs the extra `tui`."""
