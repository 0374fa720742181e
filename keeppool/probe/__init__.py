"""How a server keeps connections, found out by asking it; the command `keeppool probe` shows it."""
