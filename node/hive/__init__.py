"""The hive: which playbook revisions this node fetches, accepts and shares."""
