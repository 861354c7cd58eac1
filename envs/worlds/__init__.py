"""The bundled worlds, and what comes with them."""
