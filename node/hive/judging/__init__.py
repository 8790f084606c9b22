"""Judging playbook revisions: the stages of the trust pipeline, and what follows from them."""
