"""Bytes to messages and back: request heads and bodies out, response heads, body framing and content codings in."""
