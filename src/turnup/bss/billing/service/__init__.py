"""Use cases of billing: load, decide, save, emit. Each takes the unit that the edge opened."""
