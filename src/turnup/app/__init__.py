"""The assembly: the one place that knows every component, and the processes made of them.

Polars reads its number of threads when it is first imported. One is set here, before anything else: a worker
works on several shards at once anyway, and frames of some thousand rows cost a fifth more CPU on a pool.
"""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")
