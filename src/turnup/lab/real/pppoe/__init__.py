"""PPPoE access on real parts: a BNG and subscribers' routers as User-Mode-Linux guests, since the kernel of
this machine may have neither PPP nor VLANs.

On the BNG, pppoe-server and pppd with radius.so carry the sessions; `agent` is its control plane: RADIUS
towards the pair of AAA servers, rates, walls and prefixes of live sessions, dynamic authorization (RFC 5176).
"""
