"""Values of bulk jobs: plans, outcomes, selections, retention, reports. Pure."""
