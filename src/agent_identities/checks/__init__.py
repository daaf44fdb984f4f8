"""The check job: what the chart renders, judged without a cluster. One file a check; see `registry`."""
