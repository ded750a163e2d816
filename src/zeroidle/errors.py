"""One tree of errors; the docstring of a class is its default message, written to the person who reads it."""

from __future__ import annotations


class Error(Exception):
    """Something went wrong in ZeroIdle."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)

    @property
    def message(self) -> str:
        """The sentence for the user."""
        return str(self.args[0])


class ConfigError(Error):
    """The configuration is not valid."""


class RequestError(Error):
    """The request is not valid; correct its body and send it again."""

    http_status = 400


class NotFound(RequestError):
    """There is no such endpoint or job; it may have expired."""

    http_status = 404


class Unauthorized(RequestError):
    """The API key is missing or not known; send it as "Authorization: Bearer KEY"."""

    http_status = 401


class TooLarge(RequestError):
    """The body is larger than this endpoint takes."""

    http_status = 413


class RateLimited(RequestError):
    """Too many requests; wait and send it again."""

    http_status = 429


class Conflict(RequestError):
    """The job is not in a state in which that can be done."""

    http_status = 409


class StoreError(Error):
    """The job store cannot be used."""


class StoreFull(StoreError):
    """The disk of the job store is full: nothing was accepted; free some space and send it again."""


class WorkerError(Error):
    """A worker could not be started."""


class VolumeError(Error):
    """The model volume cannot be used."""


class SourceError(VolumeError):
    """A source of weights cannot be read."""


class DamagedError(VolumeError):
    """What was downloaded, or lies on the volume, is not what its hash says."""


class VolumeFull(VolumeError):
    """The model volume has too little free space."""
