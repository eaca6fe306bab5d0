"""The story of `make demo`, a chapter a module; `telling` puts them in their order."""
