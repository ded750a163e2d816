"""Places where workers run: the protocol and its implementations."""
