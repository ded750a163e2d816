"""One setting of an endpoint: its name, its form, its default, and what it sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zeroidle.project.values import Parser

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an endpoint.

    `fields` are the fields of `Endpoint` that it fills (two for a pair). `default` is the default as a user would
    write it. `flag` says whether `zeroidle up` has it as an option (`option`); `--set NAME.key=value` takes every
    setting.
    """

    name: str
    fields: tuple[str, ...]
    parse: Parser
    form: str
    default: str
    doc: str
    example: str
    flag: bool = False

    @property
    def option(self) -> str:
        """How it is written on the command line, if `flag` says that it is."""
        return "--" + self.name.replace("_", "-")

    def read(self, value: object, folder: Path) -> dict[str, object]:
        """The endpoint's fields that this value sets. Raises ValueError with the end of a sentence."""
        result = self.parse(value, folder)
        if len(self.fields) == 1:
            return {self.fields[0]: result}
        assert isinstance(result, tuple)
        return dict(zip(self.fields, result, strict=True))
