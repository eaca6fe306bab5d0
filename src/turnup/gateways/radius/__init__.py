"""RADIUS towards network access servers: changing and ending live sessions."""
