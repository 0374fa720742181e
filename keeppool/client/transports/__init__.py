"""What sends a session's requests where a program has mounted adapters or overridden methods, as requests allows."""
