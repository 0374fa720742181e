"""The name of `requests.certs`: where the trusted certificates are."""

from certifi import where

__all__ = ["where"]
