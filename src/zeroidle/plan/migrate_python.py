"""Which weights a Python program downloads, by reading it and without running it."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping

#: Names under which loaders know models that lie on the hub.
_WHISPER = "Systran/faster-whisper-{}"

#: Calls whose first argument, or the named one, is a repository of the hub.
_HUB_CALLS = {
    "from_pretrained": ("pretrained_model_name_or_path", "pretrained_model_link_or_path", "model_id", "repo_id"),
    "snapshot_download": ("repo_id",),
    "hf_hub_download": ("repo_id",),
    "SentenceTransformer": ("model_name_or_path",),
    "CrossEncoder": ("model_name_or_path",),
    "load_diffusion_model": ("model_id",),
}
_URL_CALLS = {
    "urlretrieve": "url", "load_state_dict_from_url": "url", "download_url_to_file": "url", "urlopen": "url",
    "get": "url", "download": "url",
}  # fmt: skip


def downloads(code: str, environ: Mapping[str, str], arguments: list[str] | None = None) -> list[str]:
    """The sources that a program fetches, as source strings; ones that cannot be read from its text are left out. The
    values of variables are those of `environ` or their defaults in the program. SyntaxError when it is no Python."""
    tree = ast.parse(code)
    reader = _Reader(environ, arguments or [])
    reader.visit(tree)
    return list(dict.fromkeys(reader.found))


class _Reader(ast.NodeVisitor):
    """Keeps for each name the texts that it may stand for."""

    def __init__(self, environ: Mapping[str, str], arguments: list[str]) -> None:
        self.found: list[str] = []
        self._environ = environ
        self._arguments = arguments
        self._values: dict[str, list[str]] = {}
        self._aliases: dict[str, str] = {}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Notes names that were given to what was imported."""
        self._aliases.update({alias.asname: alias.name for alias in node.names if alias.asname})

    def visit_Assign(self, node: ast.Assign) -> None:
        """Notes constants, lists of them, and variables of the environment."""
        values = self._texts(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and values:
                self._values[target.id] = values
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Notes the defaults of arguments."""
        arguments = node.args.args
        for argument, default in zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults,
                                     strict=True):  # fmt: skip
            if values := self._texts(default):
                self._values.setdefault(argument.arg, values)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        """A loop over constants stands for each of them."""
        values = self._texts(node.iter)
        if isinstance(node.target, ast.Name) and values:
            self._values[node.target.id] = values
        elif isinstance(node.target, ast.Tuple) and isinstance(node.iter, ast.List | ast.Tuple):
            rows = [row.elts for row in node.iter.elts if isinstance(row, ast.Tuple | ast.List)]
            for index, name in enumerate(node.target.elts):
                column = [text for row in rows if index < len(row) for text in self._texts(row[index])]
                if isinstance(name, ast.Name) and column:
                    self._values[name.id] = column
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Recognises the calls that download."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        name = self._aliases.get(name, name)
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        self.found.extend(self._sources(name, owner, node))
        self.generic_visit(node)

    def _sources(self, name: str, owner: str, node: ast.Call) -> Iterator[str]:
        if name in _HUB_CALLS:
            yield from self._hub(name, node)
        elif name == "WhisperModel" or (name == "load_model" and owner == "faster_whisper"):
            for size in self._argument(node, 0, ("model_size_or_path",)):
                yield f"hf:{size}" if "/" in size else "hf:" + _WHISPER.format(size)
        elif name == "pipeline":
            for model in self._argument(node, 1, ("model",)):
                if _is_repo(model):
                    yield f"hf:{model}"
        elif name in _URL_CALLS:
            for url in self._argument(node, 0, (_URL_CALLS[name],)):
                if url.startswith(("http://", "https://")):
                    yield url

    def _hub(self, call: str, node: ast.Call) -> Iterator[str]:
        revision = next(iter(self._argument(node, 99, ("revision",))), None)
        at = f"@{revision}" if revision else ""
        files = self._argument(node, 1, ("filename",)) if call == "hf_hub_download" else []
        allow = files or self._argument(node, 99, ("allow_patterns",))
        deny = self._argument(node, 99, ("ignore_patterns",))
        tail = "&".join(f"{key}={','.join(v)}" for key, v in (("allow", allow), ("deny", deny)) if v)
        for text in self._argument(node, 0, _HUB_CALLS[call]):
            repo = f"sentence-transformers/{text}" if call == "SentenceTransformer" and "/" not in text else text
            if _is_repo(repo) or (call == "from_pretrained" and _is_old_repo(repo)):
                yield f"hf:{repo}{at}" + (f"#{tail}" if tail else "")

    def _argument(self, node: ast.Call, index: int, names: tuple[str, ...]) -> list[str]:
        for keyword in node.keywords:
            if keyword.arg in names:
                return self._texts(keyword.value)
        return self._texts(node.args[index]) if index < len(node.args) else []

    def _texts(self, node: ast.AST) -> list[str]:
        """All texts that an expression may stand for, as far as they can be read."""
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else []
        if isinstance(node, ast.Name):
            return self._values.get(node.id, [])
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [text for element in node.elts for text in self._texts(element)]
        if isinstance(node, ast.Dict):
            return [text for value in node.values for text in self._texts(value)]
        if isinstance(node, ast.JoinedStr):
            parts = [self._texts(v.value if isinstance(v, ast.FormattedValue) else v) for v in node.values]
            return ["".join(chosen) for chosen in itertools.islice(itertools.product(*parts), 64)]
        if isinstance(node, ast.BoolOp):
            return next((texts for value in node.values if (texts := self._texts(value))), [])
        if isinstance(node, ast.Call):
            return self._environment(node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        return []

    def _environment(self, node: ast.Call) -> list[str]:
        """`os.environ.get("NAME", default)`, `os.getenv`, and `x.values()` or `x.items()` of a constant."""
        if not isinstance(node.func, ast.Attribute):
            return []
        if node.func.attr in ("getenv", "get") and ast.unparse(node.func.value) in ("os", "os.environ"):
            names = self._texts(node.args[0]) if node.args else []
            if names and names[0] in self._environ:
                return [self._environ[names[0]]]
            return self._texts(node.args[1]) if len(node.args) > 1 else []
        if node.func.attr in ("values", "items", "strip"):
            return self._texts(node.func.value)
        return []

    def _subscript(self, node: ast.Subscript) -> list[str]:
        place = ast.unparse(node.value)
        if place == "os.environ":
            return [self._environ[name] for name in self._texts(node.slice) if name in self._environ]
        if place == "sys.argv" and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
            index = node.slice.value - 1
            return [self._arguments[index]] if 0 <= index < len(self._arguments) else []
        return []


def _is_repo(text: str) -> bool:
    """`org/name`, and not a path of the file system."""
    head, slash, tail = text.partition("/")
    plain = all(c.isalnum() or c in "._-" for c in head + tail)
    return bool(slash and head and tail) and plain and not text.startswith((".", "/", "~"))


def _is_old_repo(text: str) -> bool:
    """`bert-base-uncased`: the hub's first models have no organisation. A word without a dash may as well be a folder;
    of those only the known ones count."""
    plain = all(c.isalnum() or c in "._-" for c in text) and not text.startswith(".")
    return plain and ("-" in text or text in ("gpt2", "distilgpt2"))
