//! Turns tickets into matches.
