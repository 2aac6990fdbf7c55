"""Import and export of whole models, for any system that has tables of names."""
