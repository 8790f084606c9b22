"""A Git repository that people keep beside a playbook: what they merge comes in, what the twin learnt goes out."""
