"""Credentials of this twin: issued, held, verified, presented and revoked."""
