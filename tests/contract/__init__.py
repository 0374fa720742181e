"""What keeppool promises by its names, errors, version, README and docstrings."""
