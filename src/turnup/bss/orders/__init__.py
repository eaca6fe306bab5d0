"""Orders owns product orders, the products sold, human tasks and the fall-out queue.

It decides what is to be done and in which order; it never touches the network or an invoice itself.
"""
