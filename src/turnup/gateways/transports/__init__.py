"""How gateways reach other systems: the process's event-loop thread, and SSH with kept connections."""
