"""What mediation does over several components, and with other systems: imports, connectors."""
