"""Everything about DIDComm: envelopes, messaging, mediator, credentials, one after the other."""

PARTS = ("envelopes", "messaging", "mediator", "credentials")
