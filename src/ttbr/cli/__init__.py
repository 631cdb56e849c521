"""The ``ttbr`` command: options in, calls, text out."""
