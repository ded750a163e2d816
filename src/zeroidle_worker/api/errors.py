"""The error that a caller's input causes; it fails the job with a sentence that names the field."""

from __future__ import annotations


class InputError(ValueError):
    """The input is not what the endpoint takes. `field` is the path of the value, as in `clips[2].text`."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__("%s %s" % (field, problem) if field else problem[:1].upper() + problem[1:])
        self.field = field
        self.problem = problem
