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
