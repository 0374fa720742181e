"""Authentication schemes, the challenges they answer, and the netrc file."""
