"""Private messages: the post office that brings DIDComm messages to other twins and takes theirs in."""
