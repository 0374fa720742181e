"""Decides: which connection carries which request, which is closed, who waits. No socket, thread, lock or clock."""
