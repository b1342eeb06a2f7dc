//! Sine and cosine that give the same bits on every machine: those of the standard library call the platform's
//! mathematics library, whose last digits differ.

use std::f32::consts::{FRAC_PI_2, TAU};

/// Sine and cosine of an angle in radians; the error is below 5 × 10⁻⁶ for angles of a few turns. An angle that is not finite counts as 0.
///
/// Only additions, multiplications, divisions and floor are used, which IEEE 754 defines to the last bit.
pub fn sin_cos(angle: f32) -> (f32, f32) {
    if !angle.is_finite() {
        return (0.0, 1.0);
    }
    let turns = angle / TAU;
    let within = (turns - turns.floor()) * TAU;
    let quadrant = (within / FRAC_PI_2 + 0.5).floor();
    let rest = within - quadrant * FRAC_PI_2;
    let (sin, cos) = (sin_near_zero(rest), cos_near_zero(rest));
    match quadrant as u32 % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// The vector of length 1 in the direction of an angle.
pub fn direction(angle: f32) -> (f32, f32) {
    let (sin, cos) = sin_cos(angle);
    (cos, sin)
}

/// Taylor polynomial, good for |x| ≤ π/4.
fn sin_near_zero(x: f32) -> f32 {
    let x2 = x * x;
    x * (1.0 - x2 / 6.0 * (1.0 - x2 / 20.0 * (1.0 - x2 / 42.0 * (1.0 - x2 / 72.0))))
}

/// Taylor polynomial, good for |x| ≤ π/4.
fn cos_near_zero(x: f32) -> f32 {
    let x2 = x * x;
    1.0 - x2 / 2.0 * (1.0 - x2 / 12.0 * (1.0 - x2 / 30.0 * (1.0 - x2 / 56.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_standard_library_and_survives_odd_angles() {
        for step in -2_000..2_000i16 {
            let angle = f32::from(step) * 0.01;
            let (sin, cos) = sin_cos(angle);
            let exact = f64::from(angle);
            assert!((f64::from(sin) - exact.sin()).abs() < 5e-6, "sine of {angle}");
            assert!((f64::from(cos) - exact.cos()).abs() < 5e-6, "cosine of {angle}");
        }
        assert_eq!(sin_cos(f32::NAN), (0.0, 1.0));
        assert_eq!(sin_cos(f32::INFINITY), (0.0, 1.0));
        assert_eq!(direction(0.0), (1.0, 0.0));
    }
}
