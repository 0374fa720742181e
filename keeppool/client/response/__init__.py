"""What came back: status, headers, body as bytes, text or JSON, and where a redirect leads."""
