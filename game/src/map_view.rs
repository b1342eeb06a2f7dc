//! What stands still in a match, as far as somebody who watches it from above wants to see it.

/// A field with walls. Lengths are in the unit of the schema's `x` and `y`; `y` points up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapView {
    /// Extent along x, from 0.
    pub width: f32,
    /// Extent along y, from 0.
    pub height: f32,
    /// Walls.
    pub walls: Vec<Wall>,
}

/// A rectangle that nothing passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wall {
    /// Its left edge.
    pub x: f32,
    /// Its lower edge.
    pub y: f32,
    /// Extent along x.
    pub width: f32,
    /// Extent along y.
    pub height: f32,
}
