"""What a running kernel says in /proc, in the kernel's own words and columns."""
