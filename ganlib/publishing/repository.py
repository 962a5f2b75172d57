"""Which repository the book is published from, and the addresses that follow from it.

Nothing in the book names an owner: a fork's pages lead to the fork.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

GITHUB = "https://github.com"
# The branch that readers' changes go to, and the one that holds the plain copies of the notebooks.
MAIN = "main"
NOTEBOOKS = "notebooks"
# Names as GitHub allows them; dots alone would be a way to another folder.
NAME = r"(?!\.+(?:/|$))[\w.-]+"
# Other names of github.com in addresses of clones: the second is for SSH where only 443 is open.
ALSO_GITHUB = ("www.github.com", "ssh.github.com")


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, or on a server with the same kind of addresses.

    owner, name: "ada" and "games" for https://github.com/ada/games. host: the server's address.
    """

    owner: str
    name: str
    host: str = GITHUB

    @property
    def address(self) -> str:
        """Its front page; `git clone` takes the same address."""
        return f"{self.host}/{self.owner}/{self.name}"

    @property
    def issues(self) -> str:
        """Where readers report what is wrong."""
        return f"{self.address}/issues"

    @property
    def site(self) -> str | None:
        """Where GitHub Pages serves the book, without a slash at the end; None on another host."""
        if self.host != GITHUB:
            return None
        domain = f"{self.owner.lower()}.github.io"
        return f"https://{domain}" + ("" if self.name.lower() == domain else f"/{self.name}")

    def source(self, path: str) -> str:
        """A file or folder on the main branch."""
        return f"{self.address}/blob/{MAIN}/{quote(path)}"

    def edit(self, path: str) -> str:
        """The editor for a file on the main branch."""
        return f"{self.address}/edit/{MAIN}/{quote(path)}"

    def notebook(self, chapter: str) -> str:
        """The plain copy of a chapter ("minimax"), to be read."""
        return f"{self.address}/blob/{NOTEBOOKS}/{quote(chapter)}.ipynb"

    def colab(self, chapter: str) -> str | None:
        """The same opened in Colab; None on another host, from which Colab opens nothing."""
        if self.host != GITHUB:
            return None
        return self.notebook(chapter).replace(GITHUB, "https://colab.research.google.com/github")


def find_repository(folder: Path) -> Repository | None:
    """The repository that a clone of the book belongs to, or None where that is not known.

    It is `$GITHUB_REPOSITORY` ("owner/name", on `$GITHUB_SERVER_URL`), else the clone's remote
    `origin`. folder: the top of the clone. Raises ValueError for variables that are no such names.
    """
    named = os.environ.get("GITHUB_REPOSITORY")
    if named:
        server = os.environ.get("GITHUB_SERVER_URL") or GITHUB
        if not re.fullmatch(r"https?://[\w.-]+(:\d+)?/?", server):
            raise ValueError(f"GITHUB_SERVER_URL: expected an address such as {GITHUB}")
        if not re.fullmatch(rf"{NAME}/{NAME}", named):
            raise ValueError(f"GITHUB_REPOSITORY: {named!r:.60}, expected owner/name")
        owner, _, name = named.partition("/")
        return Repository(owner, name, server.rstrip("/"))
    origin = _git(folder, "remote", "get-url", "origin")
    return _read(origin) if origin else None


def find_commit(folder: Path) -> str | None:
    """The last commit of a clone of the book that changed the library or its data, or None."""
    parts = ["--", "ganlib", "data", "pyproject.toml"]
    return _git(folder, "log", "-1", "--format=%H", *parts) or None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says of a clone (and not of one that it may lie in); None where it cannot."""
    command = ["git", "--git-dir", str(folder / ".git"), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _read(remote: str) -> Repository | None:
    """The repository behind a remote's address, without the credentials that may be part of it."""
    web = re.fullmatch(rf"(https?)://(?:[^@/]*@)?([\w.-]+(?::\d+)?)/({NAME})/(.+?)", remote)
    if web:
        scheme, host, owner, name = web.groups()
    else:
        # git@host:owner/name is SSH's short form; a name without a dot is one of the machine's own.
        user = r"(?:[^@/:]+(?::[^@/]*)?@)?"
        domain = r"([\w-]+(?:\.[\w-]+)+)"
        shell = re.fullmatch(
            rf"(?:(?:ssh|git)://{user}{domain}(?::\d+)?/|{user}{domain}:/?)({NAME})/(.+?)", remote
        )
        if not shell:
            return None
        scheme, host, owner, name = "https", shell[1] or shell[2], shell[3], shell[4]
    name = name.rstrip("/").removesuffix(".git")
    if not re.fullmatch(NAME, name):
        return None
    host = host.lower()
    if host == GITHUB.removeprefix("https://") or host in ALSO_GITHUB:
        return Repository(owner, name)
    return Repository(owner, name, f"{scheme}://{host}")
