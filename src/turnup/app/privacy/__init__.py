"""The rights of people over what is held about them, and retention, over the whole house.

Components declare (their `privacy.py`); here it is asked of all of them: export, erasure, purge.
"""
