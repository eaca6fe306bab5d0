"""Inventory owns what the network is made of and which resources serve which service.

It never talks to the network (configuration and monitoring do) and never knows a customer's name.
"""
