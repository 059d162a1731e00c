"""The README's table of commands is the command table's."""

from pathlib import Path

import pytest

from leto.ctl.reference import renewed, table
from leto.vocabulary.registry import Registry

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_the_commands_there_are():
    text = README.read_text()
    assert text == renewed(text)


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
