"""Units on other machines: what travels there, and who runs it there."""
