"""Plain copies: each form of MyST, what is refused, and every chapter of the book."""

import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pybtex.database import parse_file

from ganlib.publishing import plain
from ganlib.publishing.plain import plain_copy, plain_text, read_book
from ganlib.publishing.set_up import set_up

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted(f"chapters/{path.stem}" for path in (ROOT / "chapters").glob("*.ipynb"))
SITE = "https://example.org/book"

CONTENTS = """
root: intro
parts:
  - caption: First
    chapters:
      - file: chapters/one
        sections:
          - file: chapters/two
  - chapters:
      - file: end
"""
SOURCES = """
@book{alone, author = {Bi{\\'n}, Ann}, title = {Alone}, year = {1991}, publisher = {Press}}
@misc{pair, author = {Aa, A. and van der Bb, B.}, title = {A {Pair}}, year = {2002}}
@misc{many, author = {Cc, C. and Dd, D. and Ee, E.}, title = {Many. Indeed}, year = {2013}}
@misc{same, author = {Ff, F.}, title = {Same}, year = {2016b}, eprint = {1606.05328}}
@misc{nobody, title = {Nobody}, year = {2024}}
"""
INTRO = """# The front

```{figure} picture.png
:name: fig-front

A picture.
```

```{tableofcontents}
```
"""
ONE = """(sec-top)=
# One & only

:::{prf:theorem} First
:label: thm-first
$$a$$ (eq-first)
:::

:::{prf:lemma} A lemma
:label: lem-first
:::

::::{note}
:::{exercise} Why?
:label: ex-why
:::
::::

```
:::{prf:theorem} In code
$$b$$ (eq-code)
```
"""
TWO = """# Two

:::{prf:theorem} Second
:label: thm-second
:::

(sec-end)=

## The end

(nowhere)=
Text.

$$
c
$$ (eq-second)
"""


def glued(name, text):
    metadata = {"scrapbook": {"mime_prefix": "application/papermill.record/", "name": name}}
    data = {"application/papermill.record/text/plain": text}
    return new_output("display_data", data, metadata=metadata)


def figure(caption, *tags, name=None, outputs=1):
    shown = {"caption": caption} | ({"name": name} if name else {})
    return new_code_cell(
        "plot()",
        metadata={"mystnb": {"figure": shown}, "tags": list(tags)},
        outputs=[new_output("display_data", {"image/png": "aa"})] * outputs + [glued("last", "1")],
    )


def write(folder, one, two, toc=CONTENTS):
    (folder / "chapters").mkdir(exist_ok=True)
    (folder / "_toc.yml").write_text(toc)
    (folder / "_config.yml").write_text("title: A Small Book\n")
    (folder / "references.bib").write_text(SOURCES)
    (folder / "intro.md").write_text(INTRO)
    (folder / "end.md").write_text("# The back\n\n```{bibliography}\n```\n")
    nbformat.write(new_notebook(cells=one), folder / "chapters" / "one.ipynb")
    nbformat.write(new_notebook(cells=two), folder / "chapters" / "two.ipynb")
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_repository():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GITHUB_REPOSITORY", raising=False)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    values = [glued("half", "0.5"), glued("count", "12"), glued("word", "'a_b'")]
    one = [new_markdown_cell(ONE), figure("One {cite:t}`alone`.", name="fig-one")]
    two = [
        new_markdown_cell(TWO),
        new_code_cell("glue()", metadata={"tags": ["remove-cell"]}, outputs=values),
        figure("Not shown.", "remove-output", name="fig-hidden"),
        figure("Two of one {numref}`fig-one`.", "hide-input", outputs=2),
        figure("Last, $x$.", "hide-output", name="fig-last"),
        new_code_cell("1", metadata={"tags": ["hide-cell"], "jupyter": {"other": 1}}),
    ]
    return write(tmp_path_factory.mktemp("book"), one, two)


@pytest.fixture(scope="module")
def book(folder):
    return read_book(folder)


@pytest.fixture(scope="module")
def online(folder):
    return read_book(folder, f"{SITE}/")


# Numbers


def test_numbers_run_through_the_book_each_kind_for_itself(book):
    assert {label: place.text for label, place in book.places.items() if "-" in label} == {
        "fig-front": "Figure 1",
        "sec-top": "One & only",
        "thm-first": "Theorem 1",
        "eq-first": "(1)",
        "lem-first": "Lemma 1",
        "ex-why": "Exercise 1",
        "fig-one": "Figure 2",
        "thm-second": "Theorem 2",
        "sec-end": "The end",
        "eq-second": "(2)",
        "fig-last": "Figure 5",
    }
    assert list(book.titles) == ["intro", "chapters/one", "chapters/two", "end"]
    assert book.titles["chapters/one"] == "One & only"


# Each form


FORMS = [
    # Statements
    (":::{prf:theorem} Second\n:label: thm-second\n\nA.\n:::", "> **Theorem 2** (Second). A."),
    (":::{prf:lemma}\n:label: lem-first\nA.\n\nB.\n:::", "> **Lemma 1.** A.\n>\n> B."),
    (
        ":::{prf:theorem} $f$ and {cite:t}`pair`\n:label: thm-second\n- a\n- b\n:::",
        "> **Theorem 2** ($f$ and Aa and van der Bb (2002)).\n>\n> - a\n> - b",
    ),
    (
        "A\n:::{prf:theorem} T\n:label: thm-second\n:class: dropdown\n\n$$\na\n$$\n:::\nB",
        "A\n<details>\n<summary><b>Theorem 2</b> (T)</summary>\n\n$$\na\n$$\n\n</details>\nB",
    ),
    ("  :::{prf:lemma}\n  :label: lem-first\n  A\n  b.\n  :::", "  > **Lemma 1.** A\n  > b."),
    # Proofs
    (":::{prf:proof}\nA,\n$b$.\n:::", "*Proof.* A,\n$b$. ∎"),
    (":::{prf:proof}\nA.\n$$\nb\n$$\n:::", "*Proof.* A.\n$$\nb\n$$\n\n∎"),
    (":::{prf:proof}\n$$b$$\n:::", "*Proof.*\n\n$$b$$\n\n∎"),
    (":::{prf:proof}\n1. A.\n:::", "*Proof.*\n\n1. A. ∎"),
    (":::{prf:proof}\nA. $\\square$\n:::", "*Proof.* A. $\\square$"),
    (
        ":::{prf:proof}\n:class: dropdown\nA.\n:::",
        "<details>\n<summary><b>Proof</b></summary>\n\nA. ∎\n\n</details>",
    ),
    # Exercises and solutions
    (":::{exercise} Why?\n:label: ex-why\nA.\n:::", "> **Exercise 1** (Why?). A."),
    (":::{solution} ex-why\nA.\n:::", "> **Solution to Exercise 1.** A."),
    (
        ":::{solution} ex-why\n:class: dropdown\n\nA.\n:::",
        "<details>\n<summary><b>Solution to Exercise 1</b></summary>\n\nA.\n\n</details>",
    ),
    (
        ":::{solution-start} ex-why\n:class: dropdown\n:::\n\nA.\n\n:::{solution-end}\n:::",
        "**Solution to Exercise 1.**\n\nA.\n\n*End of the solution.*",
    ),
    # Admonitions
    (":::{note}\nA.\n:::", "> **Note.** A."),
    ("```{warning} A\nB.\n```", "> **Warning.** A\n> B."),
    (":::{seealso}\n{doc}`one`\n:::", "> **See also.** One & only"),
    (":::{admonition} Do *not*\nA.\n:::", "> **Do *not*.** A."),
    (
        ":::{dropdown} More\nA.\n:::",
        "<details>\n<summary><b>More</b></summary>\n\nA.\n\n</details>",
    ),
    (
        ":::{tip}\n:class: dropdown\nA.\n:::",
        "<details>\n<summary><b>Tip</b></summary>\n\nA.\n\n</details>",
    ),
    (
        "::::{exercise}\n:label: ex-why\nA.\n\n:::{hint}\nB\n$$\nc\n$$\n:::\n::::",
        "> **Exercise 1.** A.\n>\n> > **Hint.** B\n> > $$ c $$",
    ),
    # Formulas
    ("$$\nc\n$$ (eq-second)\nA", "$$\nc \\tag{2}\n$$\nA"),
    ("$$c$$ (eq-second)", "$$c \\tag{2}$$"),
    ("$$\nc\n$$\n\n(see)", "$$\nc\n$$\n\n(see)"),
    (
        ":::{note}\nA $a\n+ b$ is\n\n$$\n\\begin{aligned}\na &= b \\\\\n% no\n\\% &= c\n"
        "\\end{aligned}\n$$ (eq-second)\n\nB.\n:::",
        "> **Note.** A $a + b$ is\n>\n> $$ \\begin{aligned} a &= b \\\\ \\% &= c \\end{aligned} "
        "\\tag{2} $$\n>\n> B.",
    ),
    # Citations
    ("{cite:t}`alone` say", "Biń (1991) say"),
    ("{cite:p}`pair`", "(Aa and van der Bb, 2002)"),
    ("{cite:p}`many,\nalone`", "(Cc et al., 2013; Biń, 1991)"),
    ("{cite:t}`many, pair`", "Cc et al. (2013), Aa and van der Bb (2002)"),
    ("{cite:p}`same`", "(Ff, 2016b)"),
    # References
    ("{prf:ref}`thm-first`, {eq}`eq-second`", "Theorem 1, (2)"),
    ("{numref}`fig-one`, {ref}`ex-why`", "Figure 2, Exercise 1"),
    ("{numref}`figure number %s <fig-one>`", "figure number 2"),
    ("{ref}`sec-end`, {ref}`there <nowhere>`", "The end, there"),
    ("{doc}`one`, {doc}`the\nfirst <one>`, {doc}`/end`", "One & only, the first, The back"),
    ("[here](one.ipynb#thm-first), [](../end.md)", "here, The back"),
    ("[here](https://a.b/c.md), ![p](p.png), [d](d.csv)",) * 2,
    ("(sec-end)=\n\n## The end", "## The end"),
    # Values
    ("{glue:text}`half`, {glue:text}`half:.2f`", "0.5, 0.50"),
    ("{glue:text}`count:.0f`% {glue:text}`word`", "12% a&#95;b"),
    # What is left as it is
    ("`{cite:t}` and ``{eq}`x` ``, \\$5, \\`",) * 2,
    ("```python\n{eq}`x`\n:::{note}\n$$a$$ (eq-x)\n```",) * 2,
    ("~~~\n(a)=\n~~~\n(a)(b)[c]",) * 2,
    ("$p[a](b.md)$ and $\\text{\\$} {eq}`x`$",) * 2,
    ("> a\n\n- b\n\n| c |\n|---|\n| $d$ |",) * 2,
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_each_form_becomes_ordinary_markdown(book, text, expected):
    assert plain_text(text, "chapters/two", book) == expected


ONE_PAGE = f"{SITE}/chapters/one.html"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{prf:ref}`thm-first`", f"[Theorem 1]({ONE_PAGE}#thm-first)"),
        ("{eq}`eq-first`", f"[(1)]({ONE_PAGE}#equation-eq-first)"),
        ("{numref}`picture %s <fig-one>`", f"[picture 2]({ONE_PAGE}#fig-one)"),
        ("{ref}`sec-top`", f"[One & only]({ONE_PAGE}#sec-top)"),
        ("{doc}`/chapters/one`", f"[One & only]({ONE_PAGE})"),
        ("[here](one.ipynb#thm-first)", f"[here]({ONE_PAGE}#thm-first)"),
        ("{cite:t}`alone`", "Biń (1991)"),
        (":::{solution} ex-why\nA.\n:::", "> **Solution to Exercise 1.** A."),
    ],
)
def test_references_are_links_where_there_is_a_site(online, text, expected):
    assert plain_text(text, "chapters/two", online) == expected


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":::{bogus} x\nA\n:::", ":::{bogus} x: this directive is not known here"),
        ("```{figure} a.png\nA\n```", ":::{figure} a.png: this directive is not known here"),
        (":::{prf:bogus}\nA\n:::", ":::{prf:bogus}: this directive is not known here"),
        (":::{note}\nA", ":::{note}: expected a {name}, and a line that ends it"),
        (":::\nA\n:::", ":::: expected a {name}, and a line that ends it"),
        (":::{note}\n:bogus: 1\nA\n:::", ":::{note}: the option bogus is not known here"),
        (":::{prf:lemma} B\nA\n:::", ":::{prf:lemma} B: expected a :label:"),
        (":::{solution} ex-no\nA\n:::", ":::{solution} ex-no: no page has the label ex-no"),
        ("{bogus}`a`", "{bogus}`a`: this role is not known here"),
        ("{cite:author}`alone`", "{cite:author}`alone`: this role is not known here"),
        ("{cite:t}`none`", "{cite:t}`none`: references.bib has no none"),
        ("{cite:p}`nobody`", "{cite:p}`nobody`: in references.bib nobody has no author"),
        ("{eq}`eq-code`", "{eq}`eq-code`: no page has the label eq-code"),
        ("{numref}`fig-hidden`", "{numref}`fig-hidden`: no page has the label fig-hidden"),
        ("{ref}`nowhere`", "{ref}`nowhere`: no heading follows the label"),
        ("{doc}`three`", "{doc}`three`: the book has no page chapters/three"),
        ("[a](three.ipynb)", "[a](three.ipynb): the book has no page chapters/three"),
        ("{glue:text}`none:.1f`", "{glue:text}`none:.1f`: no output of the notebook holds none"),
        ("{glue:text}`word:.1f`", "{glue:text}`word:.1f`: 'a_b' has no such format"),
        ("$$a$$ (eq-none)", "$$a$$ (eq-none): no page has the label eq-none"),
        (
            "::::{note}\n:::{tip}\n{eq}`a`\n:::\n::::",
            "{eq}`a`: no page has the label a",
        ),
    ],
)
def test_what_is_not_known_is_refused(book, text, message):
    with pytest.raises(ValueError, match="^" + re.escape(f"chapters/two: {message}")):
        plain_text(text, "chapters/two", book)


def test_a_damaged_book_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no _toc.yml, expected a clone of the book"):
        read_book(tmp_path)
    write(tmp_path, [new_markdown_cell(ONE)], [new_markdown_cell(ONE)])
    with pytest.raises(ValueError, match="chapters/two: the label sec-top is given twice"):
        read_book(tmp_path)
    write(tmp_path, [], [], CONTENTS.replace("file: end", "file: gone"))
    with pytest.raises(ValueError, match="lists gone, expected gone.ipynb or gone.md"):
        read_book(tmp_path)
    with pytest.raises(ValueError, match="site: 'example.org', expected an address"):
        read_book(tmp_path, "example.org")


def test_only_notebooks_of_the_book_have_copies(book):
    for page in ("intro", "two", "chapters/three"):
        with pytest.raises(ValueError, match=f"page: '{page}', choose one of chapters/one, "):
            plain_copy(page, book)


# A whole notebook


def test_a_copy_says_what_it_is_and_ends_with_what_it_cites(folder, book, online):
    first, _, _, caption, last = plain_copy("chapters/one", book).cells
    assert first.source.startswith(
        "This is a plain copy of the chapter “One & only” of the book *A Small Book*, to be read"
    )
    assert caption.source == "**Figure 2.** One Biń (1991)."
    assert last.source == "## References\n\n- Ann Biń. *Alone*. Press, 1991."
    linked = plain_copy("chapters/one", online).cells[0].source
    assert f"the chapter “[One & only]({ONE_PAGE})” of the book" in linked
    assert plain_copy("chapters/one", book) == plain_copy("chapters/one", read_book(folder))


def test_a_work_with_an_address_is_linked(book):
    address = "https://arxiv.org/abs/1606.05328"
    assert (
        plain._references({"same"}, book) == f"- F. Ff. Same. 2016b. [arXiv:1606.05328]({address})."
    )


def test_no_two_works_of_the_book_are_cited_alike():
    book = SimpleNamespace(sources=parse_file(str(ROOT / "references.bib")))
    cited = Counter(plain._authors_and_year(key, key, book) for key in book.sources.entries)
    assert [names for names, times in cited.items() if times > 1] == []


def test_figures_have_captions_and_folded_cells_are_folded(book):
    before = book.notebooks["chapters/two"].copy()
    notebook = plain_copy("chapters/two", book)
    assert [cell.source for cell in notebook.cells[3:]] == [
        "plot()",
        "plot()",
        "**Figure 4.** Two of one Figure 2.",
        "plot()",
        "**Figure 5.** Last, $x$.",
        "1",
    ]
    code = [cell.metadata for cell in notebook.cells if cell.cell_type == "code"]
    assert [metadata.get("jupyter") for metadata in code] == [
        {"source_hidden": True, "outputs_hidden": True},
        {"outputs_hidden": True},
        {"source_hidden": True},
        {"outputs_hidden": True},
        {"other": 1, "source_hidden": True, "outputs_hidden": True},
    ]
    assert [metadata.get("cellView") for metadata in code] == ["form", None, "form", None, "form"]
    assert code[0]["tags"] == ["remove-cell"]
    assert book.notebooks["chapters/two"] == before
    nbformat.validate(notebook)


# The library


def commit(folder, origin=None):
    """Make a folder a clone that has one commit; what the commit is called."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    steps = [["init"], ["add", "."], [*identity, "commit", "-m", "one"]]
    if origin:
        steps.append(["remote", "add", "origin", origin])
    for step in steps:
        subprocess.run(["git", "-C", folder, *step], check=True, capture_output=True)
    said = subprocess.run(
        ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True
    )
    return said.stdout.strip()


@pytest.fixture
def small(tmp_path):
    """A book of its own, with a library that may be committed."""
    (tmp_path / "ganlib").mkdir()
    (tmp_path / "ganlib" / "__init__.py").touch()
    one = [new_markdown_cell("# One\n\nSee {doc}`two`."), new_code_cell("1")]
    return write(tmp_path, one, [new_markdown_cell("# Two")])


def test_a_copy_of_a_known_repository_brings_the_library_and_leads_to_its_site(small):
    name = commit(small, "git@github.com:ada/games.git")
    book = read_book(small)
    about, see, library, code = plain_copy("chapters/one", book).cells
    assert "](https://ada.github.io/games/chapters/one.html)" in about.source
    assert "/colab.research.google.com/github/ada/games/blob/notebooks/one.ipynb" in about.source
    assert see.source == "# One\n\nSee [Two](https://ada.github.io/games/chapters/two.html)."
    assert code.source == "1"
    first, *lines, call, forgotten = library.source.split("\n")
    assert first.startswith("# @title ")
    assert "\n".join(lines).strip() == inspect.getsource(set_up).strip()
    assert call == f'set_up("https://github.com/ada/games", "{name}")'
    assert forgotten == "del set_up"
    assert library.metadata == {"cellView": "form", "jupyter": {"source_hidden": True}}
    assert plain_copy("chapters/one", book) == plain_copy("chapters/one", read_book(small))


def test_addresses_that_are_given_come_before_the_repositorys_own(small):
    commit(small, "git@github.com:ada/games.git")
    copied = plain_copy("chapters/one", read_book(small, SITE, "/srv/a 'clone'")).cells
    assert 'set_up("/srv/a \'clone\'", "' in copied[2].source
    assert f"[Two]({SITE}/chapters/two.html)" in copied[1].source


def test_copies_without_a_repository_or_a_commit_need_the_library(small):
    copied = plain_copy("chapters/one", read_book(small)).cells
    assert "`pip install -e .` in a clone" in copied[0].source
    assert [cell.cell_type for cell in copied] == ["markdown", "markdown", "code"]
    commit(small)  # a clone without a remote
    assert plain_copy("chapters/one", read_book(small)).cells == copied
    other = write(small / "ganlib", [], [])
    with pytest.raises(ValueError, match="is no clone with a commit that /srv/book could be asked"):
        read_book(other, address="/srv/book")


def test_only_the_library_and_the_data_make_another_copy(small):
    commit(small, "https://github.com/ada/games")
    before = read_book(small).clone
    (small / "intro.md").write_text("# Another front")
    commit_again = ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-am", "two"]
    subprocess.run(["git", "-C", small, *commit_again], check=True, capture_output=True)
    assert read_book(small).clone == before
    (small / "ganlib" / "__init__.py").write_text("1")
    subprocess.run(["git", "-C", small, *commit_again], check=True, capture_output=True)
    assert read_book(small).clone != before


def test_the_folder_of_all_copies_says_what_it_is(small):
    commit(small, "https://github.com/ada/games")
    said = plain.contents(read_book(small))
    assert said.startswith("# A Small Book: the notebooks\n")
    assert "[Two](two.ipynb) ([in the book](https://ada.github.io/games/chapters/two.html))" in said
    assert "/github/ada/games/blob/notebooks/one.ipynb))\n" in said


# The command


@pytest.fixture
def command(folder, monkeypatch):
    def run(*arguments):
        monkeypatch.setenv("GANLIB_DATA", str(folder / "data"))
        monkeypatch.setattr(sys, "argv", ["plain", *map(str, arguments)])
        plain.main()

    return run


def test_the_command_writes_all_chapters_or_some(command, tmp_path, capsys):
    command(tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        "README.md",
        "one.ipynb",
        "two.ipynb",
    ]
    command(tmp_path / "some", "two", "--site", SITE)
    (path,) = (tmp_path / "some").iterdir()
    assert f"[Two]({SITE}/chapters/two.html)" in nbformat.read(path, 4).cells[0].source
    assert capsys.readouterr().out.endswith(f"{path}\n")


def test_the_command_refuses_other_chapters_and_the_folder_of_the_chapters(
    command, folder, tmp_path, capsys
):
    for arguments, message in [
        ((tmp_path / "some", "three"), "CHAPTER three: choose from one, two"),
        ((folder / "chapters",), "holds the notebooks themselves, choose another"),
    ]:
        with pytest.raises(SystemExit):
            command(*arguments)
        assert message in capsys.readouterr().err
    assert not (tmp_path / "some").exists()


def test_the_library_does_not_need_what_the_command_needs():
    code = (
        "import sys, ganlib.publishing.plain; "
        "assert not {'nbformat', 'yaml', 'pybtex', 'myst_nb'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Every chapter

READER = MarkdownIt("commonmark").enable("table")
READER.use(dollarmath_plugin, double_inline=True).use(colon_fence_plugin)


@pytest.fixture(scope="module")
def whole():
    return read_book(ROOT)


def formulas(text):
    """The formulas of a text as a parser finds them, each on one line and without its number."""
    for token in READER.parse(text):
        if token.type == "colon_fence":
            yield from formulas(f"{token.info.partition('}')[2]}\n\n{token.content}")
        parts = [token] if token.type.startswith("math_block") else token.children or ()
        for part in parts:
            if part.type.startswith("math"):
                yield " ".join(re.sub(r"\\tag\{\d+\}", "", part.content).split())


def texts(notebook):
    """All that is Markdown in a notebook of the book."""
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in notebook.cells]
    markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return markdown + [figure.get("caption", "") for figure in figures]


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_chapter_has_a_plain_copy(whole, page):
    original, notebook = whole.notebooks[page], plain_copy(page, whole)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"^[ >]*:::|```\{|\{[\w:-]+\}`|^\(\S+\)=", cell.source, re.M)
            assert not re.search(r"\$\$ *\(eq-", cell.source)
    pairs = [
        [
            (cell.source, cell.outputs)
            for cell in either.cells
            if cell.cell_type == "code" and cell.id != "plain-set-up"
        ]
        for either in (original, notebook)
    ]
    assert pairs[0] == pairs[1]
    markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    kept, found = (
        Counter(formula for text in part for formula in formulas(text))
        for part in (texts(original), markdown)
    )
    assert not kept - found
    assert bool(kept) == any("$" in text for text in texts(original))
    tags = re.findall(r"\\tag\{(\d+)\}", "\n".join(markdown))
    assert tags == [p.number for p in whole.places.values() if p.page == page and "(" in p.text]
