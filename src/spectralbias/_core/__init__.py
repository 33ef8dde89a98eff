"""Private foundation: argument checks, names of choices, special functions. Importable without JAX."""
