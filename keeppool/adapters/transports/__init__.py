"""Transports for clients of httpx's kind, made for whichever module is asked for: httpx, or httpx2.

Imports neither: `keeppool.adapters.httpx` and `keeppool.adapters.httpx2` are the doors.
"""
