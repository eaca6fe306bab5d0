"""Operations support: what exists, what should be configured, what works. Components never import each other."""
