"""Other systems on the same stack. Nothing outside of this folder imports it."""
