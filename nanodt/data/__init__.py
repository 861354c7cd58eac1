"""Recorded episodes, and the windows that training draws from them."""
