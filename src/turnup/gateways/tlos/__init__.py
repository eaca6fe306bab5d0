"""Elements that speak tlos over SSH (OLTs and BNGs): configuration, and live sessions of a BNG."""
