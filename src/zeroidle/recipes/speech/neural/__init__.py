"""Neural backends: each loads a model from a folder on the volume, never from the network."""
