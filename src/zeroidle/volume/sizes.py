"""Sizes as people write them."""

from __future__ import annotations

import re

from zeroidle.errors import ConfigError

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_size(text: str) -> int:
    """Bytes of "500MB", "64 GiB", "1.5G" or "1000". ConfigError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?(?:/S)?\s*", text.upper())
    if found is None or found[2] not in _FACTORS:
        raise ConfigError(f"{text!r} is not a size; write for example 500MB or 64GiB.")
    return int(float(found[1]) * _FACTORS[found[2]])
