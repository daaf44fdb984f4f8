"""The quarantine job: remove the rights, the ServiceAccount and the pods of one agent from a live cluster."""
