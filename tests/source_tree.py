"""What the project's files import and how large they are, read from their text, none of it run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("archive_tools", "envs", "nanodt", "prompts", "scripts")


@dataclass(frozen=True)
class Import:
    """One imported name.

    Args:
        module: the module that imports, dotted.
        line: of its file.
        target: the module imported from, dotted and absolute.
        name: the name taken out of it; None for `import target`.
        deep: inside a function.
        typing: under `if TYPE_CHECKING`, so never run.
    """

    module: str
    line: int
    target: str
    name: str | None
    deep: bool
    typing: bool

    def __str__(self) -> str:
        what = f"from {self.target} import {self.name}" if self.name else f"import {self.target}"
        return f"{self.module}:{self.line}: {what}"


def source_files(root: Path = ROOT, packages: tuple[str, ...] = PACKAGES) -> dict[str, Path]:
    """Every Python file by its dotted module name; scripts, which import one another by their bare
    names, are `scripts.NAME`."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }


def imports_of(module: str, path: Path) -> list[Import]:
    """Every import of a file, at any depth of it."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    imports: list[Import] = []

    def walk(node: ast.AST, deep: bool, typing: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                imports.extend(
                    Import(module, child.lineno, alias.name, None, deep, typing)
                    for alias in child.names
                )
            elif isinstance(child, ast.ImportFrom):
                target = child.module or ""
                if child.level:
                    base = package.split(".")[: len(package.split(".")) - child.level + 1]
                    target = ".".join([*base, *filter(None, [child.module])])
                imports.extend(
                    Import(module, child.lineno, target, alias.name, deep, typing)
                    for alias in child.names
                )
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for part in child.body:
                    walk(ast.Module([part], []), deep, True)
                for part in child.orelse:
                    walk(ast.Module([part], []), deep, typing)
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                walk(child, deep or inside, typing)

    walk(ast.parse(path.read_text(encoding="utf-8")), False, False)
    return imports


def all_imports(files: dict[str, Path]) -> Iterator[Import]:
    """Every import of every file."""
    for module, path in files.items():
        yield from imports_of(module, path)


def rooms_of(docstring: str) -> list[str]:
    """The rooms that a package's docstring lists, from the top: the first words of its indented
    lines."""
    return [line.split()[0] for line in docstring.splitlines() if line.startswith("    ")]


def docstring_of(path: Path) -> str:
    """A file's docstring, or ""."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def face_of(path: Path) -> list[str]:
    """The names in a file's `__all__`, [] without one."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))  # pyright: ignore
    return []


def back_arrows(files: dict[str, Path], package: str, rooms: list[str]) -> list[str]:
    """Imports that go from a room of `package` to one that does not lie below it."""
    floor = {room: number for number, room in enumerate(rooms)}
    wrong = []
    for item in all_imports(files):
        parts = item.module.split(".")
        if parts[0] != package or len(parts) < 2:
            continue
        target = item.target.split(".") + ([item.name] if item.name else [])
        if target[0] != package:
            continue
        room, other = parts[1], target[1] if len(target) > 1 else ""
        if other not in floor:
            wrong.append(f"{item}: not a room of {package}")
        elif floor[other] < floor[room]:
            wrong.append(f"{item}: {other} lies above {room}")
    return wrong


def import_graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """Module → modules that run when it is imported, those of other packages' `__init__` included.

    A module's own packages do not count unless it takes a name from them: they run before it, and
    may import it.
    """
    graph: dict[str, set[str]] = {module: set() for module in files}
    for item in all_imports(files):
        if item.typing:
            continue
        target = item.target
        if item.module.startswith("scripts.") and f"scripts.{target}" in files:
            target = f"scripts.{target}"
        submodule = f"{target}.{item.name}"
        named = submodule if item.name and submodule in files else target
        reached = {named}
        parts = named.split(".")
        for end in range(1, len(parts)):
            parent = ".".join(parts[:end])
            if not f"{item.module}.".startswith(f"{parent}."):
                reached.add(parent)
        graph[item.module] |= reached & set(files) - {item.module}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach one another (strongly connected components of two or more)."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        open_nodes = [start]
        while open_nodes:
            fresh = graph[open_nodes.pop()] - seen
            seen |= fresh
            open_nodes += fresh
        return seen

    reached = {node: reach(node) for node in graph}
    groups = {
        tuple(sorted({other for other in reached[node] if node in reached[other]}))
        for node in graph
        if node in reached[node]
    }
    return sorted(list(group) for group in groups)


def deep_imports(files: dict[str, Path], packages: tuple[str, ...] = PACKAGES) -> list[str]:
    """Imports of the project's own modules that stand inside functions."""
    return [
        str(item)
        for item in all_imports(files)
        if item.deep and not item.typing and item.target.split(".")[0] in packages
    ]


def past_the_face(files: dict[str, Path], room: str) -> list[str]:
    """Imports from outside a room (dotted) of anything but names of its `__all__`."""
    face = set(face_of(files[room]))
    wrong = []
    for item in all_imports(files):
        if f"{item.module}.".startswith(f"{room}."):
            continue
        parent, _, last = room.rpartition(".")
        if f"{item.target}.".startswith(f"{room}."):
            if item.target != room or item.name not in face:
                wrong.append(str(item))
        elif (item.target, item.name) == (parent, last):
            wrong.append(str(item))
    return wrong


def functions(files: dict[str, Path]) -> dict[str, int]:
    """Lines of every function, nested ones included, by `module:name`; decorators and docstring
    count."""
    lengths = {}
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lengths[f"{module}:{node.name}:{node.lineno}"] = node.end_lineno - node.lineno + 1
    return lengths
