"""What commands print: text for people, JSON for programs, and the kernel's own ptdump form."""
