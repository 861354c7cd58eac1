"""The network: a transformer over a declared layout of tokens."""
