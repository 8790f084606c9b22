"""What is done next for a goal: rules, tools, parts, and who helps."""
