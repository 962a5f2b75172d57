"""The progress bar of terminals; `test_claims` runs the one of notebooks."""

import pytest

from ganlib.progress import Progress


def test_a_terminal_gets_the_title_and_the_count(capsys):
    with Progress("Counting", 5, start=2) as progress:
        for _ in range(3):
            progress.update()
    captured = capsys.readouterr()
    assert "Counting: 100%" in captured.err and "5/5" in captured.err
    assert captured.out == ""


def test_the_bar_starts_where_the_run_resumes(capsys):
    with Progress("Counting", 8, start=2):
        pass
    assert "2/8" in capsys.readouterr().err


def test_only_the_first_process_shows_it(capsys):
    with Progress("Counting", 2, shown=False) as progress:
        progress.update()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_an_error_inside_is_not_swallowed():
    with pytest.raises(KeyError), Progress("Counting", 2):
        raise KeyError("stopped")


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ((3, 5), "title: 3, expected text"),
        (("a\nb", 5), "title: .*, expected one line"),
        (("a", -1), "total=-1: expected a whole number, 0 or more"),
        (("a", 2.0), "total=2.0: expected a whole number"),
        (("a", 5, 6), "start=6: expected a whole number, 0 to 5"),
        (("a", 5, None), "start=None: expected a whole number, 0 to 5"),
    ],
)
def test_what_cannot_be_counted_is_named(capsys, arguments, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        Progress(*arguments)
    assert capsys.readouterr().err == ""
