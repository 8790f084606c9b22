"""The conversations that twins and other DIDComm agents hold: one file for each protocol, without I/O.

Each file holds its message types, their bodies, and a table of states for each role. A machine is a frozen value: what
it does returns the next value and what is to be sent, and what the table does not allow raises UnexpectedMessage and
changes nothing. docs/protocols has a page for each.
"""
