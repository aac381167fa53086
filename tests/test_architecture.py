"""Who may import whom (HOUSE 2), late imports and type-only imports included."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ctlung"
FLOORS = (
    ("errors", "vocabulary", "measures", "bands", "arrays", "version"),
    ("geometry", "notices", "volume", "settings", "identity", "morphology", "side_by_side"),
    (
        "records",
        "change_records",
        "working_grid",
        "network_grid",
        "weights",
        "unet",
        "aorta",
        "alignment",
        "tubes",
    ),
    (
        "reading",
        "segmentation",
        "lesions",
        "measurement",
        "registration",
        "comparison",
        "writing",
        "simulation",
    ),
    ("uncertainty",),
    ("api", "exchange"),
    ("two_scans",),
    ("notebook",),
    ("trial",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MAY_KNOW_EACH_OTHER = (0, 1, 2)
"""Single files on one low floor may build on each other; the rooms of floor 3 may not."""

ALLOWED = {
    "pydicom": r"reading/.*|writing/dicom(_codes|_source|_seg|_sr)?\.py",
    "highdicom": r"writing/dicom_(seg|sr)\.py",
    "gdcm": r"reading/.*",
    "openjpeg": r"reading/.*",
    "jpeg_ls": r"reading/.*",
    "pylibjpeg": r"reading/.*",
    "imagecodecs": r"reading/.*",
    "matplotlib": r"writing/(pictures|change_picture|cohort_pictures|pages/plots)\.py",
    "pandas": r"(change_)?records\.py|trial/.*",
    "torch": r"unet\.py|registration/engine\.py",
    "lungmask": r"segmentation/adapters_lungmask\.py",
    "totalsegmentator": r"segmentation/adapters_totalsegmentator\.py",
    "rich": r"cli/.*",
    "typer": r"cli/.*",
    "multiprocessing": r"reading/decod.*\.py|trial/.*",
    "subprocess": r"reading/decod.*\.py|segmentation/adapters_totalsegmentator\.py|trial/.*",
    "concurrent": r"trial/.*",
    "threading": r"side_by_side\.py|reading/decod.*\.py|trial/.*",
}
"""Third-party and standard modules that belong in one place."""
FORBIDDEN = (
    "monai",
    "socket",
    "socketserver",
    "ssl",
    "urllib",
    "http",
    "ftplib",
    "smtplib",
    "telnetlib",
    "xmlrpc",
    "requests",
    "httpx",
    "aiohttp",
    "asyncio",
    "webbrowser",
    "pickle",
    "cPickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
)
LONGEST = 400


@dataclass(frozen=True)
class Import:
    """One imported module, where it stands."""

    file: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _imports(path: Path) -> Iterator[Import]:
    """Every import statement and ``import_module("...")`` of a file."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # "from ctlung import api" names a module in its list.
            found = [f"{module}.{a.name}" for a in node.names] if module == "ctlung" else [module]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            constant = isinstance(first, ast.Constant)
            found = [str(first.value) if isinstance(first, ast.Constant) else "?"]
            assert constant or path == PACKAGE / "__init__.py", f"{path}: import by computed name"
        for module in found:
            yield Import(_name(path), getattr(node, "lineno", 0), module)


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _all_imports() -> list[Import]:
    return [found for path in _files() for found in _imports(path)]


def _room(file: str) -> str:
    return file.split("/", maxsplit=1)[0].removesuffix(".py")


def test_every_file_has_a_floor() -> None:
    rooms = {_room(_name(path)) for path in _files()} - {"__init__"}
    assert rooms <= set(FLOOR_OF), f"no floor for {sorted(rooms - set(FLOOR_OF))}"


def _breaks(found: Import) -> bool:
    if not found.module.startswith("ctlung.") or found.file == "__init__.py":
        return False
    here, there = _room(found.file), found.module.split(".")[1]
    if here == there:
        return False
    if FLOOR_OF[here] == FLOOR_OF[there]:
        return FLOOR_OF[here] not in MAY_KNOW_EACH_OTHER
    return FLOOR_OF[here] < FLOOR_OF[there]


@pytest.mark.parametrize(
    ("file", "module", "wrong"),
    [
        ("reading/dicom.py", "ctlung.writing.keys", True),
        ("geometry.py", "ctlung.volume", False),
        ("volume.py", "ctlung.records", True),
        ("api.py", "ctlung.cli.console", True),
        ("writing/results.py", "ctlung.api", True),
        ("writing/results.py", "ctlung.writing.tables", False),
        ("cli/check.py", "ctlung.api", False),
    ],
)
def test_the_rule_itself(file: str, module: str, wrong: bool) -> None:
    assert _breaks(Import(file, 1, module)) is wrong


def test_files_import_from_floors_below() -> None:
    assert [str(found) for found in _all_imports() if _breaks(found)] == []


def test_no_file_imports_the_package_itself() -> None:
    assert [str(f) for f in _all_imports() if f.module == "ctlung"] == []


@pytest.mark.parametrize(("module", "where"), ALLOWED.items())
def test_who_may_import(module: str, where: str) -> None:
    users = [f for f in _all_imports() if f.module.split(".")[0] == module]
    assert [str(f) for f in users if not re.fullmatch(where, f.file)] == []


@pytest.mark.parametrize("module", FORBIDDEN)
def test_nobody_imports(module: str) -> None:
    assert [str(f) for f in _all_imports() if f.module.split(".")[0] == module] == []


def test_nothing_is_unpickled() -> None:
    """Arrays and frames know how to unpickle as well."""
    texts = {_name(p): p.read_text(encoding="utf-8") for p in _files()}
    words = ("allow_pickle=True", "read_pickle", "torch.load(", "weights_only=False", "eval(")
    assert [(n, w) for n, text in texts.items() for w in words if w in text] == []


def test_training_never_sees_the_test_family() -> None:
    for one, other in (("family_train", "family_test"), ("family_test", "family_train")):
        users = [f for f in _all_imports() if f.file == f"simulation/{one}.py"]
        assert [str(f) for f in users if other in f.module] == []


def test_training_scripts_never_see_the_test_family() -> None:
    scripts = sorted((ROOT / "scripts").glob("train_*"))
    imports = re.compile(r"^\s*(from|import) .*family_test", re.MULTILINE)
    assert [p.name for p in scripts if imports.search(p.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_no_heavy_import_on_the_low_floors() -> None:
    heavy = {"scipy", "skimage", "SimpleITK", "nibabel", "matplotlib", "pydicom"}
    shapes = {"morphology", "working_grid", "aorta", "alignment", "tubes"}
    low = {r for floor in (0, 1, 2) for r in FLOORS[floor]} - shapes
    users = [f for f in _all_imports() if _room(f.file) in low]
    assert [str(f) for f in users if f.module.split(".")[0] in heavy] == []


def test_no_machine_path_in_the_repository() -> None:
    own = Path(__file__).resolve()
    texts = [p for d in ("ctlung", "scripts", "tests", "docs") for p in (ROOT / d).rglob("*")]
    wanted = (".py", ".md", ".toml", ".ipynb", ".json", "")
    found = [
        p.relative_to(ROOT).as_posix()
        for p in texts
        if p.is_file() and p.suffix in wanted and p.resolve() != own
        if re.search(r"/(?:work|home|root|Users)/\w+/", p.read_text("utf-8", errors="ignore"))
    ]
    assert found == []
