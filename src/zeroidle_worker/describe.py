"""Run in the handler's interpreter, this says which endpoints a file declares: `PYTHON describe.py FILE OUT`.

It writes one JSON object to OUT: `endpoints` (name, settings, input and output schema, doc, form), `files` (the
user's own modules that were imported, for reloading), `modules` (top-level packages that were imported, for
preloading); or `error` (a sentence) and `traceback`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, List


def main() -> None:
    """Loads this package by file, as a worker does, and describes."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    if "zeroidle_worker" not in sys.modules:
        import importlib.util

        spec = importlib.util.spec_from_file_location(
            "zeroidle_worker", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["zeroidle_worker"] = module
        spec.loader.exec_module(module)
    target, out = sys.argv[1:3]
    found = describe(target)
    part = out + ".part"
    with open(part, "w") as file:
        json.dump(found, file)
    os.replace(part, out)
    sys.stdout.flush()
    os._exit(0)  # the teardown of a large library can take half a second


def describe(path: str) -> Dict[str, Any]:
    """Imports the file and describes what it declares."""
    from zeroidle_worker.api import names
    from zeroidle_worker.api.load import load_file

    names.install()
    before = set(sys.modules)
    try:
        declared = load_file(path)
        endpoints = [_one(d) for d in declared]
    except BaseException as exc:
        from zeroidle_worker.outcome import trace_text

        sentence = "%s: %s" % (type(exc).__name__, exc) if str(exc) else type(exc).__name__
        missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
        return {"error": sentence, "traceback": trace_text(exc), "missing": missing, "endpoints": []}
    new = [sys.modules[name] for name in sys.modules if name not in before]
    return {"endpoints": endpoints, "files": _own_files(new, path), "modules": _packages(new)}


def _one(declared: Any) -> Dict[str, Any]:
    from zeroidle_worker.api.adapt import batched_signature, form_of, signature_of

    signature = signature_of(declared)
    batched = batched_signature(declared)
    settings = {key: _plain(value) for key, value in declared.settings.items()}
    return {
        "name": declared.name,
        "settings": settings,
        "input": signature.input,
        "output": signature.output,
        "doc": signature.doc,
        "form": form_of(declared),
        "typed": signature.load is not None,
        "batched": batched and {"input": batched.input, "output": batched.output},
    }


def _plain(value: Any) -> Any:
    """Settings as JSON; an object such as Weights says itself what it is."""
    if hasattr(value, "to_setting"):
        return value.to_setting()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError("The setting %r of @endpoint has no form in JSON." % (value,))


def _own_files(modules: List[Any], path: str) -> List[str]:
    """Source files of the user's project: those outside of any site-packages and of the standard library."""
    libraries = tuple(os.path.realpath(p) + os.sep for p in {os.path.dirname(os.__file__), sys.prefix, sys.base_prefix})
    files = {os.path.abspath(path)}
    for module in modules:
        source = getattr(module, "__file__", None)
        if source and source.endswith(".py") and "site-packages" not in source:
            real = os.path.realpath(source)
            if not real.startswith(libraries) and os.sep + "zeroidle_worker" + os.sep not in real:
                files.add(os.path.abspath(source))
    return sorted(files)


def _packages(modules: List[Any]) -> List[str]:
    """Top-level names of installed packages, in the order of their import."""
    found: Dict[str, None] = {}
    for module in modules:
        source = getattr(module, "__file__", None) or ""
        name = getattr(module, "__name__", "").split(".")[0]
        if ("site-packages" in source or "dist-packages" in source) and name not in ("zeroidle", "zeroidle_worker"):
            found.setdefault(name)
    return [name for name in found if name in sys.modules]


if __name__ == "__main__":
    main()
