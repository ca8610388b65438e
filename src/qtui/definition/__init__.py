"""From declarations, as people write them in TOML or Python, to the core's WorkflowDefinition."""
