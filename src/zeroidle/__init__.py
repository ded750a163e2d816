"""ZeroIdle: any Python handler becomes a durable API endpoint that costs nothing while nobody calls."""

__version__ = "0.1.0"
