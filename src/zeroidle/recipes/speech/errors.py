"""What a caller of a speech service can do wrong, told in one sentence."""

from __future__ import annotations


class SpeechError(Exception):
    """The input cannot be used."""

    @property
    def message(self) -> str:
        """The sentence for the caller."""
        return str(self.args[0]) if self.args else str(type(self).__doc__)


class InputError(SpeechError):
    """The input is not valid; correct it and send it again."""


class UnsupportedText(SpeechError):
    """The text cannot be pronounced in this language."""


class MissingProgram(SpeechError):
    """A program or package that this service needs is not installed."""


class EngineError(SpeechError):
    """The speech engine failed; send the job again."""
