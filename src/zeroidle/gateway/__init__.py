"""The HTTP face of a plane."""
