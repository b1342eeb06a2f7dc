//! The shell around a Game: threads, sockets, Agones lifecycle, control link, drain.
