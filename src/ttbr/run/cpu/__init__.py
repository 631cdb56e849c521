"""The CPU and its TLB: accesses by virtual address, maintenance, ASIDs and context switches."""
