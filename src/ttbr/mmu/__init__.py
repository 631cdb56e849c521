"""Walking and writing translation tables: one address, many, a whole space."""
