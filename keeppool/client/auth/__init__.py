"""Who asks: authentication schemes, the challenges they answer, and the netrc file."""
