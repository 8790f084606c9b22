"""How a twin tells another where it can be written to: an attachment with a did:peer of its own keys and its services.

It stands in the ping that answers an invitation. It proves nothing by itself: its keys must be the sender's.
"""

from typing import Final

from identity.did import Did, parse_did
from identity.errors import MalformedDid
from protocols import fields
from protocols.errors import MalformedMessage
from protocols.message import Attachment, Message

FORMAT: Final = "https://pagi.ai/introduction/1.0/did"


def introduction(did: Did) -> Attachment:
    """The attachment. `did` carries its document: a did:peer:2."""
    return Attachment(data={"json": {"did": did}}, id="introduction", format=FORMAT, media_type="application/json")


def introduced(message: Message) -> Did | None:
    """The DID that a message introduces; None if it introduces none. Raises MalformedMessage."""
    found = next((attachment for attachment in message.attachments if attachment.format == FORMAT), None)
    if found is None:
        return None
    entry = fields.mapping(found.data.get("json"), "introduction")
    text = entry.get("did")
    if not isinstance(text, str):
        raise MalformedMessage("an introduction without a DID")
    try:
        return parse_did(text)
    except MalformedDid as error:
        raise MalformedMessage("an introduction of what is no DID") from error
