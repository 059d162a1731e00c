"""The README's table of commands is the command table's, and the page of options the table of settings'."""

from pathlib import Path

import pytest

from leto.config.settings import OPTIONS
from leto.ctl.compatibility import COMMANDS, DIFFERENCES, MISSING, _names, here, rows
from leto.ctl.reference import DOCUMENTS, compatibility_page, options_page, renewed, table
from leto.vocabulary.registry import KEYSPACE, Registry

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


def test_the_page_of_compatibility_has_every_command():
    text = (ROOT / "docs" / "compatibility.md").read_text()
    assert text == compatibility_page()
    said = {name for words in (*MISSING, *DIFFERENCES) for name in _names(words)}
    listed = {name for words in COMMANDS.values() for name in _names(words)} | set(
        " ".join(COMMANDS.values()).split("|")
    )
    containers = {word.partition("|")[0] for words in COMMANDS.values() for word in words.split()}
    assert said <= listed | containers, "said of a command that Redis does not have"


def test_a_command_that_is_missing_without_a_reason_is_told():
    assert dict(rows("list", here(KEYSPACE)))["BLPOP"].startswith("no: planned")
    with pytest.raises(ValueError, match="LLEN is missing, and nothing says why"):
        list(rows("list", here(KEYSPACE) - {"LLEN"}))
    with pytest.raises(ValueError, match="BLPOP is here, and said to be missing"):
        list(rows("list", here(KEYSPACE) | {"BLPOP"}))


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
