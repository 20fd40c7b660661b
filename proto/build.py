"""Compile ``proto/artdag/v1`` into ``libs/artdag_common/pb``: ``python proto/build.py [--check]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
TARGET = ROOT.parent / "libs" / "artdag_common" / "pb"


def compile_protos() -> dict[str, str]:
    """Return the generated modules by file name, with imports that fit their package."""
    sources = sorted((ROOT / "artdag" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{ROOT}", f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main([*arguments, *map(str, sources)]) != 0:
            raise SystemExit("protoc failed")
        generated = sorted((Path(folder) / "artdag" / "v1").iterdir())
        return {
            f.name: f.read_text().replace("from artdag.v1 import", "from artdag_common.pb import") for f in generated
        }


def main() -> None:
    """Write the modules, or with ``--check`` fail if those on disk are not what the protos give."""
    modules = compile_protos()
    if "--check" in sys.argv:
        stale = [name for name, text in modules.items() if (TARGET / name).read_text() != text]
        if stale:
            raise SystemExit(f"not what the protos give: {', '.join(stale)}; run python proto/build.py")
        return
    TARGET.mkdir(exist_ok=True)
    for name, text in modules.items():
        (TARGET / name).write_text(text)


if __name__ == "__main__":
    main()
