"""Errors of the content room. ContentUnavailable and ContentTooLarge are the node's.

ContentError                    50045  (node.errors.NodeError)
├── TreeRefused                 40045  a folder that was sent cannot be kept as it is
├── WrongKind                   40047  a folder where a file is needed, or the other way round
├── CarRefused                  40048  a CAR whose roots are not wholly in it
├── PinBroken                   40945  a block of what is pinned is lost, and with it what it names
├── NameNotFound                40427  an IPNS name that nobody can be found to know
├── NotPinned                   40447
├── BackendUnavailable          50319  the Kubo that holds the content does not answer
├── BackendRefused              50219  it answers, but not as a Kubo that lets us in
│   └── KuboSaid            50243  (kubo_api.py) it could not do what it was asked for
└── RangeUnsatisfiable          41645  the asked bytes lie behind the end of the file
"""

from node.errors import NodeError


class ContentError(NodeError):
    """Content cannot be added, read or kept."""

    code = 50045
    hint = "Look at the log of the node."


class TreeRefused(ContentError):
    code = 40045
    hint = "Nothing of the folder was kept. Change or leave out what the message names, then add it again."


class WrongKind(ContentError):
    code = 40047
    hint = "`pagi ipfs stat CID` says what it is; `ls` lists a folder, `cat` prints a file, `get` takes both."


class CarRefused(ContentError):
    code = 40048
    hint = "Nothing of the CAR was kept. Have it made again by whoever has all of the content."


class NameNotFound(ContentError):
    code = 40427
    hint = "Connect to the twin, or to a relay that it publishes to; a record ends 48 hours after it was last renewed."


class NotPinned(ContentError):
    code = 40447
    hint = "`pagi ipfs pins` lists what is pinned."


class PinBroken(ContentError):
    code = 40945
    hint = (
        "Nothing was removed. `pagi ipfs pin CID` fetches what is lost from others; `pagi ipfs unpin CID` gives it up."
    )


class RangeUnsatisfiable(ContentError):
    """Asked for bytes behind the end. `size_bytes` is where that is."""

    code = 41645
    hint = "`pagi ipfs stat CID` says how long the file is."

    def __init__(self, message: str, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class BackendUnavailable(ContentError):
    code = 50319
    hint = (
        "Start Kubo (`ipfs daemon`), or set `[content] kubo_api` to where its RPC API listens (`ipfs config"
        ' Addresses.API`), or `[content] backend = "embedded"`. Everything but content goes on meanwhile.'
    )


class BackendRefused(ContentError):
    code = 50219
    hint = (
        "`[content] kubo_api` must name the RPC API of a Kubo (`ipfs config Addresses.API`), not its gateway;"
        " if its `API.Authorizations` asks for a secret, put that into the file that `kubo_secret_file` names."
    )
