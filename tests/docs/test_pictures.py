"""README's pictures are what pytest prints today."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import Reader
from pictures import GREEN, RED, Picture, text_of
from sessions import run_program_here

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("picture", [GREEN, RED], ids=lambda picture: picture.name)
def test_a_picture_shows_what_a_run_prints(picture: Picture, reader: Reader) -> None:
    drawn = picture.draw(run_program_here, reader.folder, reader.environment)

    assert text_of(picture.path.read_text(encoding="utf-8")) == text_of(drawn)
    assert f"](docs/pictures/{picture.path.name})" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", [GREEN, RED], ids=lambda picture: picture.name)
def test_a_picture_asks_no_other_host_and_tells_no_folder(picture: Picture) -> None:
    svg = picture.path.read_text(encoding="utf-8")

    assert svg.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    assert "/tmp/" not in text_of(svg)


def test_the_red_picture_names_table_and_rows() -> None:
    text = text_of(RED.path.read_text(encoding="utf-8"))

    assert "orders: 2 rows too many: id=1, id=2" in text
    assert "1 failed, 1 passed" in text


def test_another_count_is_another_text(tmp_path: Path) -> None:
    svg = RED.path.read_text(encoding="utf-8")

    assert text_of(svg.replace("2&#160;rows", "3&#160;rows")) != text_of(svg)
    assert text_of(svg.replace(".22&#160;s", ".29&#160;s")) == text_of(svg)


def test_a_mistake_that_the_readme_does_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"README\.md: `primary_keys=` is to be there once"):
        Picture("other", "primary_keys=", "key=").write_shop(tmp_path)
