"""Plans: what a model needs, what a month costs, how a service moves."""
