"""Business support: who buys, what is sold, what is ordered, what is owed. Components never import each other."""
