"""How many workers an endpoint should have: one pure function of a view."""
