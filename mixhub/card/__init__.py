"""Facts to metadata to text: the card of a family, and of each of its revisions."""
