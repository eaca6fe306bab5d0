"""Where systems meet: mediation with the ISP's other systems, reconciliation of our own views."""
