"""Where the bytes of a machine come from: physical memory, and the files that hold it."""
