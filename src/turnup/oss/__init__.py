"""Operations support: what exists, what is configured, what works. Components never import each other."""
