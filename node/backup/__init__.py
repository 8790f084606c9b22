"""Backups: a home as one encrypted file, and a home out of it. See docs/decisions/backup.md for the format."""
