"""How a text becomes an Instruction: words, places, roles, order."""
