//! Muster's reference game: a small deterministic top-down shooter.
