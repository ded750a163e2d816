"""The model volume: weights fetched once, verified, and shared by every worker."""
