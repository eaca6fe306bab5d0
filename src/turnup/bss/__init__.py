"""The business side: who buys, what is sold, what is ordered, what is billed."""
