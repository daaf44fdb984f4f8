"""The verify job: compare what an API server allows each agent with what the values declare."""
