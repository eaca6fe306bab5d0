"""Messages to customers by mail: over SMTP, or into a Maildir that people can read during development."""
