"""Tests against real servers, and the programs that start them (`servers.py`)."""
