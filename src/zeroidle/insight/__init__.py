"""Why a job or an endpoint is as it is, in words."""
