"""Draws README's pictures: what pytest prints of its shop, as it is and with a mistake in it.

`python tests/support/pictures.py` draws them anew, from new runs. Only folders are left out of what
was printed, as they are others each time.
"""

from __future__ import annotations

import html
import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neighbours import without_neighbours
from pages import File, RunProgram, read_page, run_program
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
WIDTH = 88

# of this plugin alone; the header tells of the machine
_COMMAND = ("pytest", "--no-header", "shop")
_ENVIRONMENT = {
    "COLUMNS": str(WIDTH),
    "LINES": "60",
    # ours by its entry point, as users have it; named, it would be imported a second time
    "PYTEST_ADDOPTS": without_neighbours(),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
}
_PASSED_ON = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
_FOLDER_OF_TEST = re.compile(r"[^\s'\"]*/\d{4}-(?=test_)")
_RULE = re.compile(r"([=_-])\1{2,}")
_SECONDS = re.compile(r"\d+\.\d\d")
# a font that would be asked of another host, and the address of who has drawn it
_ELSEWHERE = re.compile(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", flags=re.DOTALL)
_TEXT = re.compile(r"<text [^>]*>(.*?)</text>", flags=re.DOTALL)


@dataclass(frozen=True)
class Picture:
    """A picture of one session.

    Attributes:
        name: That of its file, without the ending.
        said: What is right in README's shop.
        instead: What stands there when the session runs.
    """

    name: str
    said: str = ""
    instead: str = ""

    @property
    def path(self) -> Path:
        """Its file."""
        return FOLDER / f"{self.name}.svg"

    def write_shop(self, folder: Path) -> None:
        """Write README's files into a folder.

        Raises:
            ValueError: The README does not have once what is to be another.
        """
        files = [step for step in read_page(ROOT / "README.md") if isinstance(step, File)]
        if self.said and sum(file.text.count(self.said) for file in files) != 1:
            raise ValueError(f"README.md: `{self.said}` is to be there once, in a file")
        for file in files:
            text = file.text.replace(self.said, self.instead) if self.said else file.text
            File(file.name, text).write(folder)

    def draw(self, run: RunProgram, folder: Path, environment: Mapping[str, str]) -> str:
        """Return the picture, as SVG, of a new run.

        Args:
            run: What runs pytest.
            folder: An empty folder for the shop.
            environment: The environment variables of the run, beside those of all pictures.
        """
        self.write_shop(folder)
        command = [*_COMMAND, "--color=yes"]
        _, printed = run(command, folder, {**environment, **_ENVIRONMENT})
        console = Console(
            record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False
        )
        console.print(Text.assemble(("$ ", "bold green"), " ".join(_COMMAND)))
        for line in printed.rstrip().splitlines():
            console.print(_without_folder(Text.from_ansi(line)))
        drawn = _ELSEWHERE.sub("", CONSOLE_SVG_FORMAT)
        return console.export_svg(title="pytest", code_format=drawn, unique_id=self.name)


GREEN = Picture("green")
RED = Picture("red", 'write_disposition="merge"', 'write_disposition="append"')


def text_of(svg: str) -> str:
    """Return the text of a picture, without what differs from run to run."""
    text = "".join(html.unescape(part) for part in _TEXT.findall(svg))
    # where lines are broken, and how long a rule is, depends on the seconds
    return _SECONDS.sub("0.10", _RULE.sub(r"\1\1\1", " ".join(text.split())))


def _without_folder(line: Text) -> Text:
    while found := _FOLDER_OF_TEST.search(line.plain):
        line = Text.assemble(line[: found.start()], "…/", line[found.end() :])
    return line


def main() -> None:
    """Draw all pictures."""
    FOLDER.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    for picture in (GREEN, RED):
        with tempfile.TemporaryDirectory() as folder:
            svg = picture.draw(run_program, Path(folder), kept)
        picture.path.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
