"""CRM owns who the customers are, whom to bill, where they live, how to reach them and what they were told.

Personal data lives here only. It never decides what is owed, sold or delivered.
"""
