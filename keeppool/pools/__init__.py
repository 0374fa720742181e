"""Waits: pool managers that hold the lock, the clock and the sockets, and do what the core orders."""
