"""Pictures, by libraries that are installed for them alone."""
