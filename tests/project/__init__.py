"""The repository: imports, style, documents, packaging."""
