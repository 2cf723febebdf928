"""Imports point one way through the package, left to right in `ORDER`."""

import ast
import pathlib

import pytest

import avexp_tf

PACKAGE = pathlib.Path(avexp_tf.__file__).parent

# A folder may import those before it, and itself. The way of the data: what reads
# files, then records, then the model and what is done with it.
ORDER = (
    "media",
    "features",
    "corpora",
    "data",
    "models",
    "objectives",
    "training",
    "evaluation",
    "serving",
    "live",
    "api",
)

TOOLS = {"tfrecords", "export"}


def imported_folders(path):
    """Folders of the package that a module imports, anywhere in its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports {node.module} relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "avexp_tf" and len(parts) > 1:
                yield parts[1]
            elif parts[0] in TOOLS:  # by the name that they have in a checkout
                yield parts[0]


@pytest.mark.parametrize("folder", ORDER)
def test_imports_point_one_way(folder):
    allowed = set(ORDER[: ORDER.index(folder) + 1])
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        later = set(imported_folders(path)) & set(ORDER) - allowed
        assert not later, f"{path}: imports {', '.join(sorted(later))}"


def test_the_library_does_not_import_its_tools():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "tfrecords"):
            continue
        tools = set(imported_folders(path)) & TOOLS
        assert not tools, f"{path}: imports {', '.join(sorted(tools))}"


def test_every_folder_has_its_place():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - TOOLS - {"configs"} == set(ORDER)
