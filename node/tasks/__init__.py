"""Tasks between twins: a contract net over gossip and private messages (protocols/conversations/contract_net)."""
