"""Pure decisions of billing: what is billed when, what an outage is worth, when to dun."""
