"""All that one component may know of another: views, Reads, Commands, events and ports. Pure.

One file per component. `Reads` open their own short snapshot; `Commands` take the `Unit` that the edge
(route, handler, workflow step, CLI) opened for that component, and commit nothing themselves.
"""
