"""Processes: their address spaces, tables and faults."""
