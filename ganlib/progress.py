"""A progress bar for terminals, JupyterLab and headless notebooks that leaves one fixed line.

In a notebook the bar replaces that line while it runs and gives it back at the end, so that
committed outputs hold no widget, no timing, and the same text on every machine.
"""

import sys
from types import TracebackType

from tqdm import tqdm

from ganlib.sizes import whole


class Progress:
    """A context manager: `update()` after each of `total` steps.

    title: the line that stays. start: how many steps were counted before. shown: False on all
    processes but the first. Raises ValueError for a title of several lines, a total below 0 or a
    start outside of 0 to total; TypeError for a title that is no text.
    """

    def __init__(self, title: str, total: int, start: int = 0, shown: bool = True):
        if not isinstance(title, str):
            raise TypeError(f"title: {title!r:.60}, expected text")
        if len(title.splitlines()) > 1:
            raise ValueError(f"title: {title!r:.60}, expected one line")
        total = whole("total", total, 0)
        start = whole("start", start, 0, total)
        self.title = title
        self.handle = _notebook_output(title) if shown else None
        if self.handle is not None:
            self.bar = _NotebookBar(self.handle, total=total, initial=start)
        else:
            # A log file gets a line now and then; a terminal gets a live bar.
            interval = 0.1 if sys.stderr.isatty() else 10.0
            self.bar = tqdm(
                desc=title, total=total, initial=start, disable=not shown, mininterval=interval
            )

    def __enter__(self) -> "Progress":
        return self

    def update(self) -> None:
        """Count one step."""
        self.bar.update()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.close()
        if self.handle is not None:
            self.handle.update(_plain(self.title), raw=True)


class _NotebookBar(tqdm):
    """tqdm's own text, sent to a display that can be updated in place."""

    def __init__(self, handle: object, **options: object):
        self.handle = handle
        super().__init__(mininterval=0.5, ncols=88, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self.handle.update(_plain(str(self) if msg is None else msg), raw=True)

    def close(self) -> None:
        self.disable = True


def _plain(text: str) -> dict[str, str]:
    return {"text/plain": text}


def _notebook_output(title: str) -> object | None:
    """A display in the running cell that shows `title`, or None outside a notebook kernel."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    if getattr(get_ipython(), "kernel", None) is None:
        return None
    return display(_plain(title), raw=True, display_id=True)
