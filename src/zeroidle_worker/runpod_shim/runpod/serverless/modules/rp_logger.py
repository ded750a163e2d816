"""The SDK's logger: levels, and lines on standard output that name their job."""

from __future__ import annotations

import os
from typing import Any, Optional, Union

from zeroidle_worker import current

MAX_MESSAGE_LENGTH = 4096
LOG_LEVELS = ["NOTSET", "TRACE", "DEBUG", "INFO", "WARN", "ERROR"]


def _validate_log_level(log_level: Union[str, int]) -> str:
    """The name of a level given by name or number. Raises ValueError."""
    if isinstance(log_level, str):
        if log_level.upper() in LOG_LEVELS:
            return log_level.upper()
    elif isinstance(log_level, int) and 0 <= log_level < len(LOG_LEVELS):
        return LOG_LEVELS[log_level]
    raise ValueError("Invalid debug level: %s" % (log_level,))


class RunPodLogger:
    """One logger for the process. Lines are text for people, `LEVEL  | job id | message`, where the SDK writes JSON
    for RunPod's collector; a line that names no job gets the id of the one that runs."""

    _instance: Optional["RunPodLogger"] = None
    level = _validate_log_level(os.environ.get("RUNPOD_LOG_LEVEL", os.environ.get("RUNPOD_DEBUG_LEVEL", "DEBUG")))

    def __new__(cls) -> "RunPodLogger":
        """Always the same object."""
        if RunPodLogger._instance is None:
            RunPodLogger._instance = object.__new__(cls)
        return RunPodLogger._instance

    def set_level(self, new_level: Union[str, int]) -> None:
        """Shows this level and those above it. Raises ValueError."""
        self.level = _validate_log_level(new_level)
        self.info("Log level set to %s" % self.level)

    def log(self, message: Any, message_level: str = "INFO", job_id: Optional[str] = None) -> None:
        """Writes one message when its level is shown; long ones lose their middle."""
        if self.level == "NOTSET":
            return
        if message_level != "TIP" and LOG_LEVELS.index(self.level) > LOG_LEVELS.index(message_level):
            return
        message = str(message)
        if len(message) > MAX_MESSAGE_LENGTH:
            half, cut = MAX_MESSAGE_LENGTH // 2, len(message) - MAX_MESSAGE_LENGTH
            message = "%s\n...TRUNCATED %d CHARACTERS...\n%s" % (message[:half], cut, message[-half:])
        running = current.running()
        job_id = job_id or (running.id if running else None)
        print("%s| %s%s" % (message_level.ljust(7), job_id + " | " if job_id else "", message), flush=True)

    def secret(self, secret_name: str, secret: Any) -> None:
        """Writes a secret with all but its first and last character hidden."""
        text = str(secret)
        self.info("%s: %s%s%s" % (secret_name, text[0], "*" * (len(text) - 2), text[-1]))

    def debug(self, message: Any, request_id: Optional[str] = None) -> None:
        """A message of level DEBUG."""
        self.log(message, "DEBUG", request_id)

    def info(self, message: Any, request_id: Optional[str] = None) -> None:
        """A message of level INFO."""
        self.log(message, "INFO", request_id)

    def warn(self, message: Any, request_id: Optional[str] = None) -> None:
        """A message of level WARN."""
        self.log(message, "WARN", request_id)

    def error(self, message: Any, request_id: Optional[str] = None) -> None:
        """A message of level ERROR."""
        self.log(message, "ERROR", request_id)

    def tip(self, message: Any) -> None:
        """Advice, shown at every level."""
        self.log(message, "TIP")

    def trace(self, message: Any, request_id: Optional[str] = None) -> None:
        """A message of level TRACE."""
        self.log(message, "TRACE", request_id)
