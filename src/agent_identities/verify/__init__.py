"""The verify job: what an API server lets each agent do, compared with the values."""
