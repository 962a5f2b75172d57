"""The workflow that publishes: what each job may do, and the branch of the plain copies."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ganlib.publishing.repository import MAIN, NOTEBOOKS

BOOK = Path(__file__).resolve().parents[1]
WORKFLOW = BOOK / ".github" / "workflows" / "publish.yml"


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def test_a_push_to_main_publishes_and_every_job_has_what_it_needs_and_no_more(workflow):
    # YAML 1.1 reads "on" as a truth.
    assert workflow[True]["push"] == {"branches": [MAIN]}
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "book": {"contents": "read"},
        "rehearsal": {"contents": "read"},
        "notebooks": {"contents": "write"},
        "site": {"pages": "write", "id-token": "write"},
    }


def test_nothing_is_published_before_the_book_is_built_and_rehearsed(workflow):
    jobs = workflow["jobs"]
    assert jobs["notebooks"]["needs"] == ["book", "rehearsal"]
    assert jobs["site"]["needs"] == "notebooks"
    runs = {
        name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()
    }
    assert runs == {
        "book": ["make pdf", "make strict", "make plain"],
        "rehearsal": ["make rehearse"],
        "notebooks": [".ci/push-notebooks runs/plain"],
        "site": [],
    }
    makefile = (BOOK / "Makefile").read_text(encoding="utf-8")
    for command in (*runs["book"], *runs["rehearsal"]):
        assert re.search(rf"^{command.removeprefix('make ')}: ", makefile, re.MULTILINE)
    paths = [
        step["with"]["path"] for step in jobs["book"]["steps"] if "upload" in step.get("uses", "")
    ]
    assert paths == ["_build/strict/_build/html", "runs/plain"]
    assert "--path-output _build/strict" in makefile and "publishing.plain runs/plain" in makefile


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_branch_of_the_copies_is_one_commit_that_is_made_anew_when_they_change(tmp_path):
    remote, clone, copies = (tmp_path / name for name in ("remote", "clone", "copies"))
    for folder in (remote, copies):
        folder.mkdir()
    git(remote, "init", "--bare", "--initial-branch", MAIN)
    git(tmp_path, "clone", remote, clone)
    (clone / "of-main").touch()
    (clone / ".gitignore").write_text("*.ipynb\n")
    git(clone, "add", ".")
    git(clone, "commit", "-m", "one")
    git(clone, "push", "origin", f"HEAD:{MAIN}")

    def push():
        command = [BOOK / ".ci" / "push-notebooks", copies]
        return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)

    empty = push()
    assert empty.returncode == 1 and "is empty, expected plain copies" in empty.stderr
    commits = []
    for text, says in [("1", "notebooks: "), ("1", "nothing changed"), ("2", "notebooks: ")]:
        (copies / "one.ipynb").write_text(text)
        (copies / "README.md").touch()
        done = push()
        assert done.returncode == 0 and says in done.stdout, done.stderr
        assert git(remote, "ls-tree", "--name-only", NOTEBOOKS).split() == [
            "README.md",
            "one.ipynb",
        ]
        assert git(remote, "show", f"{NOTEBOOKS}:one.ipynb") == text
        assert git(remote, "rev-list", "--count", NOTEBOOKS) == "1"
        commits.append(git(remote, "rev-parse", NOTEBOOKS))
    assert commits[0] == commits[1] != commits[2]
    assert git(remote, "log", "--format=%s", MAIN) == "one"
    assert git(clone, "status", "--short") == ""
