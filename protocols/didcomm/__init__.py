"""DIDComm v2.1 envelopes: encrypted (JWE), signed (JWS), and the rules that tie them to the message inside.

`envelope`, `author` and `from_prior` are what others use; the other modules are its parts, from bytes upwards: `jose`,
`agreement`, `content`, `jwe`, `jws`, `resolving`, `packing`, `opening`.
"""
