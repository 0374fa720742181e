"""Comfort above the pool: sessions, URLs and bodies from plain arguments, cookies, redirects, text and JSON."""
