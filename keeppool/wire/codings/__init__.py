"""The content codings, one module each, and what they share."""
