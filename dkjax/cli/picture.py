"""The contact sheet that commands draw beside a data set."""

from pathlib import Path
from typing import TYPE_CHECKING

from dkjax.cli.stop import tidying_up
from dkjax.report.console import say

if TYPE_CHECKING:
    from dkjax.dkds import EncryptedDataSet, PackedDataSet


def draw_contact_sheet(data_set: "EncryptedDataSet | PackedDataSet", picture: Path | None = None) -> str | None:
    """Draw what the server will see of a data set.

    Args:
        data_set: an open data set, packed or not.
        picture: the PNG to write; by default one beside the data set, unless another picture is in its place.

    Returns:
        The path of the picture. None where nobody said where to, and that place is taken or cannot be written; a note
        says so.
    """
    from dkjax.report import contact_sheet

    if picture is not None:
        with tidying_up():
            return str(contact_sheet.draw(data_set, picture))
    beside = data_set.path.with_suffix(".png")
    try:
        if beside.exists() and not contact_sheet.is_contact_sheet(beside):
            raise FileExistsError(None, "is another picture")
        with tidying_up():
            return str(contact_sheet.draw(data_set, beside))
    except OSError as error:
        say(f"note: nothing drawn, {beside}: {error.strerror}; dkjax inspect --picture draws elsewhere")
        return None
