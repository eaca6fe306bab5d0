"""Verbs of monitoring, pure: sessions from accounting, alarms from polls, outages from both."""
