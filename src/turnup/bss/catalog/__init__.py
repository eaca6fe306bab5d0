"""Catalog owns what can be sold, at what price, what it is made of technically, and the policies in force.

All of it is versioned data with an author; it never sells, bills or provisions anything.
"""
