"""How finished work leaves the plane: webhooks."""
