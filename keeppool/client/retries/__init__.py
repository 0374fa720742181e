"""Trying again what failed or was refused, because the caller has asked for it: `retries=`."""
