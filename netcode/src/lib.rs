//! The pure core of the network code: endpoints, sessions, channels, replication, and an emulated network.
