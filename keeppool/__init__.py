"""keeppool: an HTTP client whose heart is its connection pool."""
