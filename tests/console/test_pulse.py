"""The stream behind live pages: silent while nothing changes, one reading for all who listen."""

import asyncio
from types import SimpleNamespace

from turnup.console.pulse import Pulse
from turnup.kernel.errors import Unauthenticated


class World:
    def __init__(self):
        self.state, self.readings = 0, 0

    def read(self):
        self.readings += 1
        return self.state


def listener(beats):
    """A request whose reader goes after so many beats."""
    left = iter(range(beats))

    async def is_disconnected():
        return next(left, None) is None

    return SimpleNamespace(is_disconnected=is_disconnected)


async def heard(pulse, beats, still_may=lambda: None):
    return [each async for each in pulse.events(listener(beats), still_may)]


def test_the_version_rises_with_changes_only():
    world = World()
    pulse = Pulse(world.read, every_s=0)
    first = pulse.version()
    assert pulse.version() == first
    world.state = 1
    assert pulse.version() == first + 1 == pulse.version()


def test_many_pages_cost_one_reading():
    world = World()
    pulse = Pulse(world.read, every_s=3600)
    assert len({pulse.version() for _ in range(50)}) == 1
    assert world.readings == 1


def test_a_page_hears_of_a_change_once():
    world = World()
    pulse = Pulse(world.read, every_s=0)

    async def story():
        stream = pulse.events(listener(4), lambda: None)
        told = [await anext(stream)]
        world.state = 1
        told += [each async for each in stream]
        return told

    told = asyncio.run(story())
    assert told[0].startswith("retry:")
    assert [each for each in told if "changed" in each] == ["event: changed\ndata: 2\n\n"]


def test_who_may_not_look_any_more_hears_no_more():
    def gone():
        raise Unauthenticated("the session has ended")

    told = asyncio.run(heard(Pulse(World().read, every_s=0), 100, gone))
    assert len(told) == 1
    assert sum(each.startswith(":") for each in asyncio.run(heard(Pulse(World().read, every_s=0), 31))) == 2
