"""A trained network that acts, and the closed loop."""
