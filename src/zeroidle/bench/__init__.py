"""Measures an endpoint: how long a cold start takes and where, and what load it carries."""
