"""Test the built wheel where src/ cannot be imported: `make wheel-test PYTHONS='3.11 3.12 3.13'`.

For each Python, in a temporary folder: a copy of the checkout without src/, and a new environment with the wheel, its
`test` extra, and nothing else, at the versions and hashes of requirements.lock. A module or a data file that is missing
in the wheel, or a requirement that is missing in its metadata, fails the tests.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
_INSTALLED = "import agent_identities as it, pathlib, sys; print(pathlib.Path(it.__file__).is_relative_to(sys.prefix))"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the wheel to test; built from this checkout by default")
    parser.add_argument(
        "--python", nargs="+", default=[sys.executable], help="versions or paths of interpreters, as uv takes them"
    )
    parser.add_argument("pytest", nargs="*", default=["tests/unit"], help="arguments for pytest, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agent-identities-wheel-") as folder:
        work = Path(folder)
        wheel = options.wheel.resolve() if options.wheel else build(work / "dist")
        checkout = copy_without_src(work / "checkout")
        failed = [python for python in options.python if not passes(wheel, python, checkout, work, options.pytest)]
    for python in failed:
        print(f"{wheel.name}: the tests fail on Python {python}.", file=sys.stderr)
    return 1 if failed else 0


def build(folder: Path) -> Path:
    """The wheel of this checkout, built with the hatchling of requirements.lock."""
    options = ("--quiet", "--wheel", "--build-constraints", ROOT / "requirements.lock", "--require-hashes")
    subprocess.run([UV, "build", *options, "--out-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def copy_without_src(target: Path) -> Path:
    """A copy of every file that git tracks, or would, but those of src/."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        if not name.startswith("src/") and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def passes(wheel: Path, python: str, checkout: Path, work: Path, arguments: list[str]) -> bool:
    """Whether the tests pass on `python`, in a new environment."""
    environment = Path(tempfile.mkdtemp(prefix="venv-", dir=work))
    subprocess.run(
        [UV, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", python, environment], check=True
    )
    own = environment / "bin" / "python"
    subprocess.run(
        [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            own,
            "--constraint",
            ROOT / "requirements.lock",
            f"{wheel}[test]",
        ],
        check=True,
    )
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    clean["PATH"] = f"{own.parent}{os.pathsep}{clean['PATH']}"
    where = subprocess.run(
        [own, "-c", _INSTALLED], cwd=checkout, env=clean, check=True, stdout=subprocess.PIPE, text=True
    )
    if where.stdout.strip() != "True":
        raise SystemExit(f"{environment}: imports agent_identities from somewhere else than the wheel.")
    print(f"{wheel.name} on {python}: pytest {' '.join(arguments)}", flush=True)
    return subprocess.run([own, "-m", "pytest", *arguments], cwd=checkout, env=clean, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
