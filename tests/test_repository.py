"""The repository of the book: found in the environment or the clone, and where its addresses go."""

import subprocess

import pytest

from ganlib.publishing.repository import MAIN, NOTEBOOKS, Repository, find_repository


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    for name in ("GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "GIT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    """Makes a clone whose origin has the address that it is called with."""

    def make(origin):
        git(tmp_path, "init")
        git(tmp_path, "remote", "add", "origin", origin)
        return tmp_path

    return make


def test_every_address_spelt_out():
    book = Repository("Ada", "games")
    assert book.address == "https://github.com/Ada/games"
    assert book.issues == "https://github.com/Ada/games/issues"
    assert book.site == "https://ada.github.io/games"
    assert book.source("data/a b.csv") == "https://github.com/Ada/games/blob/main/data/a%20b.csv"
    assert book.edit("intro.md") == "https://github.com/Ada/games/edit/main/intro.md"
    copy = "https://github.com/Ada/games/blob/notebooks/minimax.ipynb"
    assert book.notebook("minimax") == copy
    online = "https://colab.research.google.com/github/Ada/games/blob/notebooks/minimax.ipynb"
    assert book.colab("minimax") == online
    assert (MAIN, NOTEBOOKS) == ("main", "notebooks")


def test_a_repository_named_after_its_site_is_served_at_its_top():
    assert Repository("Ada", "ada.github.io").site == "https://ada.github.io"
    assert Repository("ada", "bob.github.io").site == "https://ada.github.io/bob.github.io"


def test_another_host_has_neither_colab_nor_pages():
    book = Repository("ada", "games", "https://git.example.org")
    assert book.notebook("wgan") == "https://git.example.org/ada/games/blob/notebooks/wgan.ipynb"
    assert book.colab("wgan") is None and book.site is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/ada/games",
        "https://github.com/ada/games/",
        "https://github.com/ada/games.git",
        "https://www.github.com/ada/games.git/",
        "http://github.com/ada/games",
        "https://ada@github.com/ada/games.git",
        "https://ada:geheim@github.com/ada/games.git",
        "https://x-access-token:geheim@github.com/ada/games",
        "git://github.com/ada/games.git",
        "ssh://git@github.com/ada/games.git",
        "ssh://git@github.com:22/ada/games",
        "ssh://git@ssh.github.com:443/ada/games.git",
        "git@github.com:ada/games.git",
        "git@github.com:/ada/games",
        "github.com:ada/games.git",
        "GIT@GitHub.com:ada/games",
    ],
)
def test_every_form_of_an_origin(clone, origin):
    found = find_repository(clone(origin))
    assert found == Repository("ada", "games", "https://github.com")
    assert "geheim" not in repr(found)


@pytest.mark.parametrize(
    ("origin", "host", "name"),
    [
        ("https://git.example.org:8443/ada/games.git", "https://git.example.org:8443", "games"),
        ("http://localhost:3000/ada/games", "http://localhost:3000", "games"),
        ("ssh://git@git.example.org:2222/ada/games", "https://git.example.org", "games"),
        ("git@git.example.org:ada/games.js.git", "https://git.example.org", "games.js"),
    ],
)
def test_origins_on_other_hosts(clone, origin, host, name):
    assert find_repository(clone(origin)) == Repository("ada", name, host)


@pytest.mark.parametrize(
    "origin",
    [
        "/srv/books/games",
        "../books/games.git",
        "books/games",
        "file:///srv/books/games.git",
        "C:/books/games",
        "work:ada/games.git",
        "https://github.com/games",
        "https://github.com/ada/games/extra",
        "https://github.com/ada/..",
        "https://github.com/../games",
        "https://github.com/ada/.git",
        "https://github.com/ada/ga mes",
    ],
)
def test_an_origin_that_is_no_repository_on_a_server(clone, origin):
    assert find_repository(clone(origin)) is None


def test_no_clone_no_origin_and_no_git(tmp_path, monkeypatch):
    assert find_repository(tmp_path) is None
    git(tmp_path, "init")
    assert find_repository(tmp_path) is None
    git(tmp_path, "remote", "add", "origin", "https://github.com/ada/games")
    assert find_repository(tmp_path) == Repository("ada", "games")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_repository(tmp_path) is None


def test_a_book_within_another_clone_is_not_that_clone(clone):
    inner = clone("https://github.com/ada/other") / "book"
    inner.mkdir()
    assert find_repository(inner) is None


def test_a_second_working_tree_has_the_same_origin(clone, tmp_path_factory):
    folder = clone("https://github.com/ada/games")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    git(folder, *identity, "commit", "--allow-empty", "-m", "one")
    other = tmp_path_factory.mktemp("trees") / "other"
    git(folder, "worktree", "add", "-b", "other", other)
    assert find_repository(other) == Repository("ada", "games")


def test_the_environment_comes_first(clone, monkeypatch):
    folder = clone("https://github.com/ada/games")
    monkeypatch.setenv("GITHUB_REPOSITORY", "")
    assert find_repository(folder) == Repository("ada", "games")
    monkeypatch.setenv("GITHUB_REPOSITORY", "bob/fork.of-games")
    assert find_repository(folder) == Repository("bob", "fork.of-games", "https://github.com")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example.org/")
    assert find_repository(folder).address == "https://git.example.org/bob/fork.of-games"


@pytest.mark.parametrize("wrong", ["nonsense", "a/b/c", "/b", "a/", "a b/c", "../games", "a/.."])
def test_a_variable_that_names_no_repository_is_refused(clone, monkeypatch, wrong):
    monkeypatch.setenv("GITHUB_REPOSITORY", wrong)
    with pytest.raises(ValueError, match="^GITHUB_REPOSITORY: .*, expected owner/name$") as refused:
        find_repository(clone("https://github.com/ada/games"))
    assert repr(wrong) in str(refused.value)


@pytest.mark.parametrize("wrong", ["github.com", "https://ada:geheim@github.com", "ftp://a.org"])
def test_a_server_without_an_address_is_refused(tmp_path, monkeypatch, wrong):
    monkeypatch.setenv("GITHUB_REPOSITORY", "ada/games")
    monkeypatch.setenv("GITHUB_SERVER_URL", wrong)
    with pytest.raises(ValueError, match="^GITHUB_SERVER_URL: expected .*github.com$"):
        find_repository(tmp_path)
