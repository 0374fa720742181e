"""Sockets: dialling, TLS, proxies, and telling whether a connection is still alive."""
