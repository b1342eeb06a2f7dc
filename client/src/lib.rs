//! The client core: sans-IO, polled, with prediction and interpolation.
