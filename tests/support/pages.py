"""Extracts the code of a Markdown file, and runs it in an empty virtual environment.

`python tests/acceptance/readme.py README.md FOLDER [FIND_LINKS]`: blocks marked ```console are
commands, each line after `$ `; blocks that begin with `# path/name` are files. They are written and
run in the order of the page, in FOLDER, with a new virtual environment in front of PATH.
FIND_LINKS is a folder with wheels for pip to use beside its index.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\S+/\S+\.\w+)\n")


def run_page(page: Path, folder: Path, find_links: Path | None = None) -> list[str]:
    """Write and run the blocks of `page` in `folder`, and return what each command printed.

    Raises:
        CalledProcessError: A command failed.
    """
    environment = folder / ".venv"
    venv.create(environment, with_pip=True)
    variables = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COVERAGE", "COV_"))},
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    if find_links is not None:
        variables["PIP_FIND_LINKS"] = f"{find_links} {os.environ.get('PIP_FIND_LINKS', '')}".strip()
    printed = []
    for language, code in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "console":
            commands = [line[2:] for line in code.splitlines() if line.startswith("$ ")]
            printed += [_run(command, folder, variables) for command in commands]
        elif name := _FILE.match(code):
            path = folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
    return printed


def _run(command: str, folder: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout)
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
    return done.stdout


if __name__ == "__main__":
    wheels = Path(sys.argv[3]).absolute() if len(sys.argv) > 3 else None
    print("\n".join(run_page(Path(sys.argv[1]), Path(sys.argv[2]).absolute(), wheels)))
