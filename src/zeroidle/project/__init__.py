"""From targets, zeroidle.toml, .env and flags to the endpoints that are served."""

from zeroidle.project.load import Flags, load

__all__ = ["Flags", "load"]
