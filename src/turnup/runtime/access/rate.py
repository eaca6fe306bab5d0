"""How many requests a caller may send: counted in the database, so that several servers count together.

The library `limits` decides (fixed window); this is its storage on PostgreSQL, and the sparing use of it: a
server takes a hundredth of the limit at once and hands it out itself, so that a request rarely costs a query.
"""

import threading
import time
from dataclasses import dataclass
from datetime import timedelta

from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import Engine, case, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from turnup.kernel.errors import TooManyRequests
from turnup.runtime.tables import rate_window as table

_CALLERS = 4096
_BLOCKS = 100


class PostgresStorage(Storage):
    """Counters of `limits` in `runtime.rate_window`, by the database's clock."""

    STORAGE_SCHEME = ["turnup+postgresql"]

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    @property
    def base_exceptions(self) -> type[Exception]:
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        fresh = insert(table).values(key=key, hits=amount, ends_at=func.now() + timedelta(seconds=expiry))
        over = table.c.ends_at <= func.now()
        counted = fresh.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "hits": case((over, 0), else_=table.c.hits) + fresh.excluded.hits,
                "ends_at": case((over, fresh.excluded.ends_at), else_=table.c.ends_at),
            },
        ).returning(table.c.hits)
        with self._engine.begin() as connection:
            return int(connection.execute(counted).scalar_one())

    def get(self, key: str) -> int:
        open_now = select(table.c.hits).where(table.c.key == key, table.c.ends_at > func.now())
        with self._engine.connect() as connection:
            return int(connection.execute(open_now).scalar_one_or_none() or 0)

    def get_expiry(self, key: str) -> float:
        """Seconds since the epoch."""
        ends = select(func.extract("epoch", table.c.ends_at)).where(table.c.key == key)
        with self._engine.connect() as connection:
            return float(connection.execute(ends).scalar_one_or_none() or 0)

    def left_s(self, key: str) -> float:
        """Seconds until the window ends, by the database's clock."""
        ends = select(func.extract("epoch", table.c.ends_at - func.now())).where(table.c.key == key)
        with self._engine.connect() as connection:
            return max(0.0, float(connection.execute(ends).scalar_one_or_none() or 0))

    def check(self) -> bool:
        with self._engine.connect() as connection:
            return bool(connection.scalar(select(func.now())))

    def reset(self) -> int:
        with self._engine.begin() as connection:
            return connection.execute(delete(table)).rowcount

    def clear(self, key: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.key == key))


@dataclass(slots=True)
class _Share:
    """What this process may still hand out, until the window ends (monotonic seconds); `refused`: nothing."""

    left: int
    ends: float
    refused: bool = False


class RequestRate:
    """`spend` counts a request of a caller; `per_minute` 0 sets no limit. Never lets more pass; up to a
    hundredth of the limit per further server may stay unused."""

    def __init__(self, engine: Engine, per_minute: int) -> None:
        self._storage = PostgresStorage(engine)
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._item = RateLimitItemPerMinute(max(1, per_minute))
        self._unlimited = per_minute == 0
        self._block = max(1, per_minute // _BLOCKS)
        self._shares: dict[str, _Share] = {}
        self._lock = threading.Lock()

    def spend(self, who: str) -> None:
        """Raises TooManyRequests."""
        if self._unlimited:
            return
        now = time.monotonic()
        with self._lock:
            share = self._shares.get(who)
            if share is not None and share.ends > now and (share.left > 0 or share.refused):
                share.left -= 1
            else:
                share = None
        if share is None:
            share = self._claim(who, now)
        if share.refused:
            raise TooManyRequests(
                f"more than {self._item.amount} requests a minute", retry_after_s=share.ends - now
            )

    def _claim(self, who: str, now: float) -> _Share:
        """The database is asked outside the lock: who waits for it does not hold up the others."""
        refused = not self._limiter.hit(self._item, who, cost=self._block)
        ends = now + self._storage.left_s(self._item.key_for(who))
        share = _Share(self._block - 1, ends, refused)
        with self._lock:
            if len(self._shares) >= _CALLERS:
                self._shares.clear()
            self._shares[who] = share
        return share
