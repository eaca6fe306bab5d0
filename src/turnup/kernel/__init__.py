"""Words that every part of Turnup shares: money, ids, clock, periods, errors.

Pure: knows no database, network, framework, ambient clock or randomness beyond making new ids.
"""
