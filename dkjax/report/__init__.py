"""What people read of results, and how it is drawn: tables on a terminal, figures, and one page about a run."""

from typing import TYPE_CHECKING

from dkjax.runtime.lazy import lazily

if TYPE_CHECKING:
    from dkjax.report.page import write_report

__all__ = ["write_report"]

__getattr__ = lazily(__name__, {"write_report": "dkjax.report.page"})
