"""Around the cells of one call: which tasks it asks for, the scores of groups, and a second opinion."""
