"""The API server's audit log: the agent, the credential and the binding of each request, and the smallest tiers for it.

All modules except `lines` are pure: they take bytes and values and return values.
"""
