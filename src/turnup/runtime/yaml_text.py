"""YAML from files that somebody else wrote: plain data only, and no more of it than the file is long.

`yaml.safe_load` makes no objects, but its aliases can stand for each other: a kilobyte that unfolds into
gigabytes ("billion laughs"), or a list that holds itself.
"""

from typing import Any

import yaml

_NODES_MAX = 1_000_000


def load_yaml(text: str) -> Any:
    """The document. Raises yaml.YAMLError for what is no YAML, asks for objects, or unfolds without end."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _unfolded(node, {})
        return yaml.safe_load(text)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are once every alias is followed; 0 stands for one that is not counted yet."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if known[id(node)] == 0:
            raise yaml.YAMLError("an alias holds itself")
        return known[id(node)]
    known[id(node)] = 0
    below = (
        [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    )
    size = 1 + sum(_unfolded(part, known) for part in below)
    if size > _NODES_MAX:
        raise yaml.YAMLError("its aliases unfold into more than it may hold")
    known[id(node)] = size
    return size
