"""What is known of a Linux kernel that is not running: facts, no steps."""
