//! Puts each match on a game server: control links, the warm pool, join tokens.
