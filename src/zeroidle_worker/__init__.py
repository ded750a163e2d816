"""The worker: runs one handler file for a ZeroIdle plane. Standard library only, Python 3.9 and up."""
