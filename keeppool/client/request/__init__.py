"""From the arguments of a call to a request that can be sent: pure, nothing is connected or read."""
