"""The README's table of commands is the command table's, and the page of options the table of settings'."""

from pathlib import Path

import pytest

from leto.config.settings import OPTIONS
from leto.ctl.reference import DOCUMENTS, options_page, renewed, table
from leto.vocabulary.registry import Registry

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OPTIONS_PAGE = ROOT / "docs" / "options.md"


def test_the_readme_shows_the_commands_there_are():
    text = README.read_text()
    assert text == renewed(text)


def test_the_page_of_options_shows_the_settings_there_are():
    text = OPTIONS_PAGE.read_text()
    assert text == DOCUMENTS[OPTIONS_PAGE.name](text) == options_page()
    rows = [line for line in text.splitlines() if line.startswith("| `--")]
    assert len(rows) == len(OPTIONS)
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    assert {row.split("`")[1].removeprefix("--") for row in rows if "*runtime*" in row} == {
        name for name, option in OPTIONS.items() if option.of.settable
    }


def test_every_group_has_its_commands():
    assert "`GET`" in table() and "`EXPIRE`" in table() and "`MULTI`" in table() and "`JOIN`" in table()


def test_a_command_of_an_unknown_group_is_not_left_out_silently():
    registry = Registry()
    registry.add("TOY", 1, "", group="toys", since="1", summary="s")(lambda session, argv: None)
    with pytest.raises(ValueError, match="TOY is of the group 'toys'"):
        table(registry.values())


def test_a_text_without_marks_is_refused():
    with pytest.raises(ValueError, match="marks"):
        renewed("no table here")
