"""The only place of billing that runs SQL. One file per kind of thing; each takes the unit's connection."""
