//! Whether the stylesheet's colours can be read: contrast by the formula of WCAG 2.2, in both schemes.

use std::collections::BTreeMap;

const CSS: &str = include_str!("assets/console.css");

/// Text on a ground: at least 4.5 (level AA). Parts of pictures: at least 3.
const TEXT: f64 = 4.5;
const PICTURE: f64 = 3.0;

type Colours = BTreeMap<String, [f64; 3]>;

/// The colours that `css` names, as shares of red, green and blue.
fn colours(css: &str) -> Colours {
    let named = css.split([';', '{']).filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    let share = |hex: &str, n: usize| Some(f64::from(u8::from_str_radix(hex.get(n..n + 2)?, 16).ok()?) / 255.0);
    named.filter_map(|(name, hex)| Some((name.to_owned(), [share(hex, 0)?, share(hex, 2)?, share(hex, 4)?]))).collect()
}

fn schemes() -> [(&'static str, Colours); 2] {
    let (light, rest) = CSS.split_once("@media (prefers-color-scheme: dark)").expect("a dark scheme");
    let (dark, _) = rest.split_once("\n}").expect("its end");
    [("light", colours(light)), ("dark", colours(dark))]
}

/// Relative luminance: WCAG 2.2, "relative luminance".
fn luminance(colour: [f64; 3]) -> f64 {
    let [r, g, b] = colour.map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Contrast ratio, 1 to 21: WCAG 2.2, "contrast ratio".
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn black_on_white_has_the_contrast_of_the_standard() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    // #767676 is the lightest grey that may be text on white.
    assert!((contrast([118.0 / 255.0; 3], [1.0; 3]) - 4.54).abs() < 0.01);
}

#[test]
fn every_text_and_every_line_can_be_read_in_light_and_in_dark() {
    let texts = [
        ("panel", &["ink", "soft", "faint", "accent", "bad", "team0", "team1", "team2", "team3"][..]),
        ("ground", &["ink", "soft", "faint", "accent"]),
        ("hover", &["ink", "soft", "accent"]),
        ("line", &["soft"]),
        ("floor", &["ink"]),
        ("good-soft", &["good"]),
        ("warn-soft", &["warn"]),
        ("bad-soft", &["bad"]),
        ("accent-soft", &["accent"]),
    ];
    let pictures = [
        ("panel", &["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "good", "warn", "bad", "accent"][..]),
        ("floor", &["team0", "team1", "team2", "team3", "good", "bad"]),
    ];
    let mut faults = Vec::new();
    for (scheme, colours) in schemes() {
        for (wanted, pairs) in [(TEXT, &texts[..]), (PICTURE, &pictures[..])] {
            for (ground, marks) in pairs {
                for mark in *marks {
                    let ratio = contrast(colours[*mark], colours[*ground]);
                    if ratio < wanted {
                        faults.push(format!("{scheme}: {mark} on {ground} is {ratio:.2}, wanted {wanted}"));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
