"""In place of py-cpuinfo, which takes a second of every import of `runpod`; the handler's result does not need it."""


def get_cpu_info() -> dict[str, str]:
    """No details."""
    return {}
