"""The quarantine job: the rights, the ServiceAccount and the pods of one agent removed from a live cluster."""
