"""For developers: writes the layout that the metadata describes now as SQL text.

    python -m turnup.app.migrations.freeze            into versions/r0001_initial.sql

Until the first release the initial step is written anew; after it, a change of tables is a new step, written
by hand with this output at its side.
"""

from turnup.app.house import schemas
from turnup.app.migrations.frozen import SEPARATOR
from turnup.app.migrations.runner import HERE
from turnup.runtime.schema import layout_statements

INITIAL = HERE / "versions" / "r0001_initial.sql"


def frozen_text() -> str:
    return SEPARATOR.join(layout_statements(schemas()))


if __name__ == "__main__":
    INITIAL.write_text(frozen_text())
