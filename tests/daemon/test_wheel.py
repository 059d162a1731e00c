"""What is installed is whole: a wheel in an empty environment gives twistd its plugin and users their script."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import leto

ROOT = Path(__file__).resolve().parents[2]
TWISTD = "from twisted.scripts.twistd import run; run()"


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """Its standard output; a failure shows all it said."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that nothing is left behind in the checkout."""
    work = tmp_path_factory.mktemp("wheel")
    sources = work / "sources"
    ignore = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for folder in ("leto", "twisted"):
        shutil.copytree(ROOT / folder, sources / folder, ignore=ignore)
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, sources)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", work, sources], work)
    (built,) = work.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel; what Leto depends on is lent by the one that runs the tests."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install"]
    run([*pip, "--quiet", "--no-deps", "--no-index", "--no-compile", wheel], home)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def test_the_wheel_holds_every_module_and_the_plugin(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    copied = wheel.parent / "sources"
    sources = {path.relative_to(copied).as_posix() for path in (copied / "leto").rglob("*.py")}
    assert "leto/process/service.py" in sources
    assert sources <= names
    assert {"twisted/plugins/leto_plugin.py", "leto/py.typed"} <= names
    assert not {"twisted/__init__.py", "twisted/plugins/__init__.py"} & names
    assert not [name for name in names if name.startswith("tests")]
    assert any(name.endswith("LICENSE") for name in names)


def test_twistd_lists_leto(environment: Path) -> None:
    text = run([environment / "bin" / "python", "-c", TWISTD, "--help"], environment)
    assert "leto" in [line.split()[0] for line in text.splitlines() if line.strip()]


def test_twistd_leto_shows_its_options(environment: Path) -> None:
    text = run([environment / "bin" / "python", "-c", TWISTD, "leto", "--help"], environment)
    assert "--raftdir DIR" in text


def test_the_script_is_installed_and_comes_from_the_wheel(environment: Path) -> None:
    assert run([environment / "bin" / "leto", "--version"], environment) == f"leto {leto.__version__}\n"
    code = "import leto; print(leto.__file__)"
    assert run([environment / "bin" / "python", "-c", code], environment).startswith(str(environment))


def test_the_command_line_loads_no_reactor_before_it_serves(environment: Path) -> None:
    code = (
        "import sys\nfrom leto.tap import Options\nOptions().parseOptions(['--id', 'a'])\n"
        "print('twisted.internet.reactor' in sys.modules, 'leto.process.service' in sys.modules)"
    )
    assert run([environment / "bin" / "python", "-c", code], environment) == "False False\n"
