"""The parameters of a function, read without `inspect`, which costs as much to import as half a worker."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any, Callable, Dict, List, NamedTuple

#: What stands for no default.
MISSING: Any = type("MISSING", (), {"__repr__": lambda self: "MISSING"})()

#: Flags of a code object.
_VARARGS, _VARKEYWORDS = 0x04, 0x08


class Parameter(NamedTuple):
    """`kind` is "named" when it may be given by name, else "positional", "rest" (*args) or "keywords" (**kwargs)."""

    name: str
    kind: str
    default: Any = MISSING


def parameters_of(target: Callable[..., Any]) -> List[Parameter]:
    """The parameters that a caller of `target` may give, in order."""
    function: Any = target
    if isinstance(target, MethodType):
        function = target.__func__
    elif not isinstance(target, (FunctionType, type)):
        function = getattr(type(target), "__call__", None)
    if not isinstance(function, FunctionType) or _says_otherwise(target) or _says_otherwise(function):
        return _inspected(target)
    bound = int(function is not target)
    code = function.__code__
    named = list(code.co_varnames[: code.co_argcount])
    defaults = dict(zip(reversed(named), reversed(function.__defaults__ or ())))
    found = [
        Parameter(name, "positional" if n < code.co_posonlyargcount else "named", defaults.get(name, MISSING))
        for n, name in enumerate(named)
    ][bound:]
    end = code.co_argcount + code.co_kwonlyargcount
    keyword_defaults = function.__kwdefaults__ or {}
    only = [Parameter(n, "named", keyword_defaults.get(n, MISSING)) for n in code.co_varnames[code.co_argcount : end]]
    if code.co_flags & _VARARGS:
        found.append(Parameter(code.co_varnames[end], "rest"))
        end += 1
    found += only
    if code.co_flags & _VARKEYWORDS:
        found.append(Parameter(code.co_varnames[end], "keywords"))
    return found


def _says_otherwise(target: Any) -> bool:
    return hasattr(target, "__wrapped__") or hasattr(target, "__signature__")


def _inspected(target: Callable[..., Any]) -> List[Parameter]:
    """Wrapped functions, partials, built-in ones."""
    import inspect

    kinds: Dict[Any, str] = {
        inspect.Parameter.POSITIONAL_ONLY: "positional",
        inspect.Parameter.VAR_POSITIONAL: "rest",
        inspect.Parameter.VAR_KEYWORD: "keywords",
    }
    return [
        Parameter(p.name, kinds.get(p.kind, "named"), MISSING if p.default is p.empty else p.default)
        for p in inspect.signature(target).parameters.values()
    ]
