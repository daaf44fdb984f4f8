"""The check job: check the rendered chart without a cluster. One module for each check; see `registry`."""
