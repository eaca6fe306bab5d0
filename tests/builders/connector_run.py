"""One run of a connector in a process of its own, to be killed: `builders.connector_run URL DIR NAME BY`."""

import sys
from pathlib import Path

from turnup.app.engine import Engine
from turnup.app.house import assemble
from turnup.runtime.settings import Settings


def main(url: str, folder: str, name: str, by: str) -> None:
    settings = Settings(
        data_dir=Path(folder) / "data", database_pool_size=6, simulated_clock=True, database_url=url
    )
    house = assemble(settings, Engine(url, url, embedded=False), process="killed")
    house.exchange.run(name, by)
    house.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
