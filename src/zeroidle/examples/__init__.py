"""Example inputs of a project: read from its files, sent to an endpoint, their answers checked."""
