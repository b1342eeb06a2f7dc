//! The Agones SDK without Kubernetes: a client that reconnects, an in-process SDK server, a local fleet of processes.
