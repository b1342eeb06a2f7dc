//! The heap of Muster's programs.
//!
//! A program takes it by `#[global_allocator] static HEAP: service::Heap = service::Heap;`. The allocator keeps tens of
//! thousands of events, each of a dozen short strings, and frees the oldest as it goes, on other threads than those that made
//! them. glibc's heap falls apart over that: at 2,100 matches a second, a warm pool's p99 was 256 ms with it and 30 ms with
//! mimalloc, in one run, and the longer the run the worse.

/// mimalloc.
pub use mimalloc::MiMalloc as Heap;
