"""Routers that run FRRouting (FRR): subscribers' routes by vtysh over SSH."""
