"""The first code cell of a plain copy, which brings the library to where it is not installed.

`set_up` is copied into the notebooks as it stands, so it uses nothing but the standard library.
"""


def set_up(address: str, commit: str) -> None:
    """Make ganlib importable: from a clone of the book, unless it is installed.

    address: of the book's repository. commit: the one that the notebook was written for. Installs
    what ganlib needs and is missing; what is there stays as it is. Raises RuntimeError with the
    words of git or pip when one of them fails.
    """
    import os
    import re
    import subprocess
    import sys
    import tempfile
    import tomllib
    from importlib import invalidate_caches, metadata, util
    from pathlib import Path

    if util.find_spec("ganlib"):
        return

    def run(*command):
        calm = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
        try:
            subprocess.run(command, capture_output=True, text=True, check=True, env=calm)
        except FileNotFoundError:
            raise RuntimeError(f"{command[0]} is not installed, and brings the book here") from None
        except subprocess.CalledProcessError as error:
            why = f"{' '.join(command)} failed; is there a network?\n{error.stderr.strip()}"
            raise RuntimeError(why) from None

    # One place for each version, complete or absent, wherever the notebook itself lies.
    above = Path("/content") if "google.colab" in sys.modules else Path.home() / ".cache"
    name = re.findall(r"[\w.-]+", address.removesuffix(".git"))[-1]
    clone = above / f"{name}-{commit[:12]}"
    above.mkdir(parents=True, exist_ok=True)
    if not clone.is_dir():
        with tempfile.TemporaryDirectory(dir=above) as folder:
            book = os.path.join(folder, "book")
            run("git", "init", "--quiet", book)
            run("git", "-C", book, "fetch", "--quiet", "--depth", "1", address, commit)
            run("git", "-C", book, "checkout", "--quiet", "FETCH_HEAD")
            if not clone.is_dir():  # another notebook may have been faster
                os.rename(book, clone)

    project = tomllib.loads((clone / "pyproject.toml").read_text("utf-8"))["project"]
    needs = {re.match(r"[\w-]+", need)[0].lower(): need for need in project["dependencies"]}
    found = [(each.name, each.version) for each in metadata.distributions() if each.name]
    there = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}
    missing = [need for name, need in needs.items() if name not in there]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder, "kept.txt")
            kept.write_text("\n".join(f"{n}=={there[n]}" for n in needs if n in there), "utf-8")
            pip = (sys.executable, "-m", "pip", "install", "--quiet")
            run(*pip, "--constraint", str(kept), *missing)
        invalidate_caches()
    # For this kernel, and for the commands that it starts.
    sys.path.append(str(clone))
    paths = [str(clone), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    print(f"ganlib comes from {clone}" + "".join(f"; installed {need}" for need in missing))
