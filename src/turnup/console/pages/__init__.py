"""The pages: each a module that reads what it shows, and a template of the same name."""
