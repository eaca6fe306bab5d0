"""The assembly: the one place that knows every component, and the processes made of them."""
