//! Seeded matches over an emulated network, checked while they run.
